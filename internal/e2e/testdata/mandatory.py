"""A mandatory message that no queue takes comes back to its publisher.

usage: mandatory.py URL QUEUE
"""
import sys

import pika
from pika.exceptions import UnroutableError

url, queue = sys.argv[1:3]

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue=queue, exclusive=True)
channel.confirm_delivery()
channel.basic_publish(exchange='', routing_key=queue, body='arrives', mandatory=True)
print('delivered', flush=True)
try:
    channel.basic_publish(exchange='', routing_key=queue + '.not', body='strays', mandatory=True)
    print('vanished', flush=True)
except UnroutableError as error:
    returned = error.messages[0]
    print('returned', returned.method.reply_code, returned.method.reply_text,
          returned.body.decode(), flush=True)
channel.basic_publish(exchange='', routing_key=queue + '.not', body='is dropped')
print('dropped', flush=True)
connection.close()
