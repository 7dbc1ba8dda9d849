"""Receive from a durable queue, acknowledging each message once it is dealt with.

With DIE_AT, the callback fails on that message, as a bug would make it fail: the
program ends with a traceback and has not acknowledged it.

usage: receive.py URL QUEUE COUNT [DIE_AT]
"""
import sys

import pika

url, queue, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
die_at = sys.argv[4] if len(sys.argv) > 4 else None
handled = 0

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue=queue, durable=True)


def callback(ch, method, properties, body):
    global handled
    text = body.decode()
    print('received', text, 'again' if method.redelivered else 'new', flush=True)
    if text == die_at:
        raise RuntimeError('cannot deal with ' + text)
    ch.basic_ack(delivery_tag=method.delivery_tag)
    handled += 1
    if handled == count:
        ch.stop_consuming()


channel.basic_consume(queue=queue, on_message_callback=callback)
channel.start_consuming()
connection.close()
