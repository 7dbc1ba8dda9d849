"""Send numbered messages to a durable queue.

usage: send.py URL QUEUE COUNT
"""
import sys

import pika

url, queue, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue=queue, durable=True)
for number in range(1, count + 1):
    channel.basic_publish(
        exchange='',
        routing_key=queue,
        body='message %d' % number,
        properties=pika.BasicProperties(delivery_mode=pika.spec.PERSISTENT_DELIVERY_MODE))
print('sent', count, flush=True)
connection.close()
