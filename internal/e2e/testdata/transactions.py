"""Publishes and acknowledgements in a transaction.

usage: transactions.py URL QUEUE
"""
import sys

import pika

url, queue = sys.argv[1:3]

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue=queue, exclusive=True)
watch = connection.channel()


def waiting():
    return watch.queue_declare(queue=queue, passive=True).method.message_count


channel.tx_select()
for number in range(3):
    channel.basic_publish(exchange='', routing_key=queue, body=str(number))
print('before the commit', waiting(), flush=True)
channel.tx_commit()
print('after the commit', waiting(), flush=True)
channel.basic_publish(exchange='', routing_key=queue, body='3')
channel.tx_rollback()
channel.tx_commit()
print('after a rollback', waiting(), flush=True)
method, properties, body = channel.basic_get(queue=queue)
channel.basic_ack(method.delivery_tag)
channel.tx_rollback()
channel.basic_ack(method.delivery_tag)
channel.tx_commit()
channel.close()
print('after an ack', waiting(), flush=True)
connection.close()
