"""Declare a durable queue once more as a transient one: the broker refuses and closes
that channel, and nothing else.

usage: redeclare.py URL QUEUE
"""
import sys

import pika
from pika.exceptions import ChannelClosedByBroker

url, queue = sys.argv[1:3]

connection = pika.BlockingConnection(pika.URLParameters(url))
steady = connection.channel()
steady.queue_declare(queue=queue, durable=True)

channel = connection.channel()
try:
    channel.queue_declare(queue=queue, durable=False)
    print('accepted', flush=True)
except ChannelClosedByBroker as refusal:
    print('refused', refusal.reply_code, refusal.reply_text, flush=True)
print('that channel is', 'open' if channel.is_open else 'closed', flush=True)

steady.basic_publish(exchange='', routing_key=queue, body='still here')
body = None
while body is None:
    method, properties, body = steady.basic_get(queue=queue, auto_ack=True)
print('the other says', body.decode(), flush=True)
connection.close()
