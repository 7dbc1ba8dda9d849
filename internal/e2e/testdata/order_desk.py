"""An order desk with room for 100 orders: it says no to the 101st and keeps the rest.

usage: order_desk.py URL QUEUE
"""
import sys

import pika
from pika.exceptions import NackError

url, queue = sys.argv[1:3]

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(
    queue=queue, durable=True, arguments={'x-max-length': 100, 'x-overflow': 'reject-publish'})
channel.confirm_delivery()


def order(number):
    try:
        channel.basic_publish(
            exchange='',
            routing_key=queue,
            body='order %d' % number,
            properties=pika.BasicProperties(delivery_mode=2))
        return True
    except NackError:
        return False


taken = [number for number in range(1, 103) if order(number)]
print('taken', taken[0], 'to', taken[-1], 'in all', len(taken), flush=True)

method, properties, body = channel.basic_get(queue=queue, auto_ack=True)
print('served', body.decode(), 'leaving', method.message_count, flush=True)
print('103 taken' if order(103) else '103 refused', flush=True)
print('104 taken' if order(104) else '104 refused', flush=True)
connection.close()
