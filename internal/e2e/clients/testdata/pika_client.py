"""The steps with pika, its blocking connection.

usage: pika_client.py URL STEP QUEUE
"""
import sys

import pika
from pika.exceptions import AMQPConnectionError, UnroutableError

url, step, queue = sys.argv[1:4]
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def say(*words):
    print(*words, flush=True)


def connect():
    parameters = pika.URLParameters(url)
    parameters.connection_attempts = 200
    parameters.retry_delay = 0.1
    connection = pika.BlockingConnection(parameters)
    return connection, connection.channel()


def freshness(method):
    return 'again' if method.redelivered else 'new'


def publish():
    connection, channel = connect()
    channel.queue_declare(queue=queue, durable=True)
    channel.confirm_delivery()
    for number in 1, 2, 3:
        body = 'message %d' % number
        channel.basic_publish('', queue, body, PERSISTENT, mandatory=True)
        say('confirmed', body)
    try:
        channel.basic_publish('', queue + '.nobody', 'stray', mandatory=True)
    except UnroutableError as error:
        say('returned', error.messages[0].method.reply_text)
    connection.close()


def consume():
    connection, channel = connect()
    channel.basic_qos(prefetch_count=1)
    for method, _, body in channel.consume(queue):
        say('got', body.decode(), freshness(method))
        channel.basic_ack(method.delivery_tag)
        if body == b'message 3':
            break
    channel.cancel()
    connection.close()


def requeue():
    connection, channel = connect()
    channel.basic_qos(prefetch_count=1)
    for method, _, body in channel.consume(queue):
        say('got', body.decode(), freshness(method))
        if method.redelivered:
            channel.basic_ack(method.delivery_tag)
            break
        channel.basic_nack(method.delivery_tag, requeue=True)
    channel.cancel()
    connection.close()


def deadletter():
    connection, channel = connect()
    channel.queue_declare(queue=queue + '.dead', durable=True)
    channel.queue_declare(queue=queue, durable=True, arguments={
        'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': queue + '.dead'})
    channel.confirm_delivery()
    channel.basic_publish('', queue, 'spoiled', PERSISTENT)
    method, _, _ = channel.basic_get(queue)
    channel.basic_reject(method.delivery_tag, requeue=False)
    dead = channel.consume(queue + '.dead', auto_ack=True)

    def obituary():
        _, properties, body = next(dead)
        death = properties.headers['x-death'][0]
        say('dead', body.decode(), death['reason'], 'from', death['queue'], 'count', death['count'],
            'keys', *death['routing-keys'], 'expiration', death.get('original-expiration', 'none'))

    obituary()
    channel.basic_publish('', queue, 'late', pika.BasicProperties(expiration='20'))
    obituary()
    channel.cancel()
    connection.close()


def rpc():
    serving, server = connect()
    asking, client = connect()
    server.queue_declare(queue=queue, auto_delete=True)
    replies = []

    def on_request(channel, method, properties, body):
        channel.basic_publish('', properties.reply_to, body.upper(),
                              pika.BasicProperties(correlation_id=properties.correlation_id))
        channel.basic_ack(method.delivery_tag)

    def on_reply(channel, method, properties, body):
        replies.append((properties.correlation_id, body.decode()))

    server.basic_consume(queue, on_request)
    client.basic_consume('amq.rabbitmq.reply-to', on_reply, auto_ack=True)
    for word in 'one', 'two', 'three':
        client.basic_publish('', queue, word, pika.BasicProperties(
            reply_to='amq.rabbitmq.reply-to', correlation_id=word))
        while not replies:
            serving.process_data_events(time_limit=0.01)
            asking.process_data_events(time_limit=0.01)
        say('answer', *replies.pop())
    asking.close()
    serving.close()


def reconnect():
    connection, channel = connect()
    channel.queue_declare(queue=queue, durable=True)
    channel.confirm_delivery()
    for number in 1, 2, 3:
        channel.basic_publish('', queue, 'message %d' % number, PERSISTENT)
    say('confirmed')
    channel.basic_qos(prefetch_count=1)
    try:
        for _, _, body in channel.consume(queue):
            say('holding', body.decode())
    except AMQPConnectionError:
        say('lost')
    connection, channel = connect()
    channel.confirm_delivery()
    channel.basic_qos(prefetch_count=1)
    for method, _, body in channel.consume(queue):
        say('got', body.decode(), freshness(method))
        channel.basic_ack(method.delivery_tag)
        if body == b'message 3':
            channel.basic_publish('', queue, 'message 4', PERSISTENT)
            say('confirmed message 4')
        if body == b'message 4':
            break
    channel.cancel()
    connection.close()


{'publish': publish, 'consume': consume, 'requeue': requeue,
 'deadletter': deadletter, 'rpc': rpc, 'reconnect': reconnect}[step]()
