"""Remote calls without a reply queue: amq.rabbitmq.reply-to.

usage: direct_reply.py URL QUEUE
"""
import sys

import pika
from pika.exceptions import ChannelClosedByBroker

url, queue = sys.argv[1:3]
REPLY_TO = 'amq.rabbitmq.reply-to'

client = pika.BlockingConnection(pika.URLParameters(url))
server = pika.BlockingConnection(pika.URLParameters(url))
asking, answering = client.channel(), server.channel()
answering.queue_declare(queue=queue, exclusive=False, auto_delete=True)
answers = []


def on_request(ch, method, properties, body):
    # The name is another one than the client gave, and good for one client alone.
    assert properties.reply_to.startswith(REPLY_TO + '.'), properties.reply_to
    ch.queue_declare(queue=properties.reply_to, passive=True)
    ch.basic_publish(
        exchange='', routing_key=properties.reply_to, body=body.upper(),
        properties=pika.BasicProperties(correlation_id=properties.correlation_id))
    ch.basic_ack(method.delivery_tag)


def on_answer(ch, method, properties, body):
    answers.append((properties.correlation_id, body.decode()))


answering.basic_consume(queue=queue, on_message_callback=on_request)
asking.basic_consume(queue=REPLY_TO, on_message_callback=on_answer, auto_ack=True)
for word in ('one', 'two', 'three'):
    asking.basic_publish(
        exchange='', routing_key=queue, body=word,
        properties=pika.BasicProperties(reply_to=REPLY_TO, correlation_id=word))
while len(answers) < 3:
    server.process_data_events(time_limit=0.01)
    client.process_data_events(time_limit=0.01)
print('answers', answers, flush=True)


def refusal(act):
    channel = client.channel()
    try:
        act(channel)
        channel.queue_declare(queue=queue, passive=True)
    except ChannelClosedByBroker as error:
        return error.reply_code
    return 'none'


print('asking before listening', refusal(lambda channel: channel.basic_publish(
    exchange='', routing_key=queue, body='', properties=pika.BasicProperties(reply_to=REPLY_TO))), flush=True)
print('listening with acks', refusal(lambda channel: channel.basic_consume(
    queue=REPLY_TO, on_message_callback=on_answer, auto_ack=False)), flush=True)
client.close()
server.close()
