"""The steps with kombu, over py-amqp: the messaging library below Celery.

usage: kombu_client.py URL STEP QUEUE
"""
import sys

from kombu import Connection, Consumer, Producer, Queue
from kombu.mixins import ConsumerProducerMixin

url, step, name = sys.argv[1:4]
queue = Queue(name, durable=True)


def say(*words):
    print(*words, flush=True)


def connect():
    # pyamqp is what the scheme amqp stands for, unless librabbitmq is installed too.
    connection = Connection(url.replace('amqp://', 'pyamqp://'), transport_options={'confirm_publish': True})
    connection.ensure_connection(interval_start=0.1, interval_step=0, max_retries=100)
    return connection


def text(message):
    return bytes(message.body).decode() if not isinstance(message.body, str) else message.body


def freshness(message):
    return 'again' if message.delivery_info['redelivered'] else 'new'


def drain(connection, done):
    while not done():
        connection.drain_events(timeout=20)


def publish():
    returned = []
    with connect() as connection:
        producer = Producer(connection, on_return=lambda e, exchange, key, message: returned.append(e.reply_text))
        for number in 1, 2, 3:
            body = 'message %d' % number
            producer.publish(body, routing_key=name, declare=[queue], delivery_mode=2, mandatory=True)
            say('confirmed', body)
        producer.publish('stray', routing_key=name + '.nobody', mandatory=True)
        say('returned', *returned)


def consume():
    seen = []

    def on_message(message):
        say('got', text(message), freshness(message))
        seen.append(message)
        message.ack()

    with connect() as connection:
        with Consumer(connection, [queue], on_message=on_message, prefetch_count=1):
            drain(connection, lambda: len(seen) == 3)


def requeue():
    done = []

    def on_message(message):
        say('got', text(message), freshness(message))
        if message.delivery_info['redelivered']:
            message.ack()
            done.append(True)
        else:
            message.requeue()

    with connect() as connection:
        with Consumer(connection, [queue], on_message=on_message, prefetch_count=1):
            drain(connection, lambda: done)


def deadletter():
    dead = Queue(name + '.dead', durable=True)
    mortal = Queue(name, durable=True, queue_arguments={
        'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead.name})
    graves = []

    def on_death(message):
        death = message.headers['x-death'][0]
        say('dead', text(message), death['reason'], 'from', death['queue'], 'count', death['count'],
            'keys', *death['routing-keys'], 'expiration', death.get('original-expiration', 'none'))
        graves.append(message)

    with connect() as connection:
        channel = connection.channel()
        mortal(channel).declare()
        dead(channel).declare()
        producer = Producer(channel)
        producer.publish('spoiled', routing_key=name)
        mortal(channel).get().reject()
        with Consumer(channel, [dead], on_message=on_death, no_ack=True):
            drain(connection, lambda: len(graves) == 1)
            producer.publish('late', routing_key=name, expiration=0.02)
            drain(connection, lambda: len(graves) == 2)


def rpc():
    replies = []
    with connect() as serving, connect() as asking:
        server, client = serving.channel(), asking.channel()
        # Direct replies live in the channel that asks for them.
        answering, demanding = Producer(server), Producer(client)

        def on_request(message):
            answering.publish(text(message).upper(), routing_key=message.properties['reply_to'],
                              correlation_id=message.properties['correlation_id'])
            message.ack()

        def on_reply(message):
            replies.append((message.properties['correlation_id'], text(message)))

        requests = Queue(name, durable=False, auto_delete=True)
        direct = Queue('amq.rabbitmq.reply-to', no_declare=True)
        with Consumer(server, [requests], on_message=on_request), \
                Consumer(client, [direct], on_message=on_reply, no_ack=True, auto_declare=False):
            for word in 'one', 'two', 'three':
                demanding.publish(word, routing_key=name, reply_to='amq.rabbitmq.reply-to', correlation_id=word)
                serving.drain_events(timeout=20)
                asking.drain_events(timeout=20)
                say('answer', *replies.pop())


class Worker(ConsumerProducerMixin):
    """Consumes for ever, over as many connections as that takes."""

    def __init__(self, connection):
        self.connection = connection
        self.lost = None

    def get_consumers(self, consumer, channel):
        return [consumer([queue], on_message=self.on_message, prefetch_count=1)]

    def on_connection_revived(self):
        self.lost = self.lost is not None  # the first one is the first connection

    def on_message(self, message):
        if not self.lost:
            say('holding', text(message))
            return
        say('got', text(message), freshness(message))
        message.ack()
        if text(message) == 'message 3':
            self.producer.publish('message 4', routing_key=name, delivery_mode=2)
            say('confirmed message 4')
        self.should_stop = text(message) == 'message 4'


def reconnect():
    with connect() as connection:
        producer = Producer(connection)
        for number in 1, 2, 3:
            producer.publish('message %d' % number, routing_key=name, declare=[queue], delivery_mode=2)
        say('confirmed')
        Worker(connection).run()


{'publish': publish, 'consume': consume, 'requeue': requeue,
 'deadletter': deadletter, 'rpc': rpc, 'reconnect': reconnect}[step]()
