"""Bind an exclusive queue, named by the server, to an exchange and print what comes
until the text "end".

usage: subscribe.py URL EXCHANGE TYPE [KEY...]
"""
import sys

import pika

url, exchange, kind = sys.argv[1:4]
keys = sys.argv[4:] or ['']

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare(exchange=exchange, exchange_type=kind)
queue = channel.queue_declare(queue='', exclusive=True).method.queue
for key in keys:
    channel.queue_bind(exchange=exchange, queue=queue, routing_key=key)
print('queue', queue, flush=True)


def callback(ch, method, properties, body):
    text = body.decode()
    if text == 'end':
        ch.stop_consuming()
    else:
        print('got', method.routing_key, text, flush=True)


channel.basic_consume(queue=queue, on_message_callback=callback, auto_ack=True)
channel.start_consuming()
connection.close()
