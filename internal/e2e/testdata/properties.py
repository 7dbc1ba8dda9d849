"""All properties and the types of header that pika knows, there and back.

usage: properties.py URL QUEUE
"""
import datetime
import decimal
import sys

import pika

url, queue = sys.argv[1:3]

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue=queue, exclusive=True)
sent = pika.BasicProperties(
    content_type='application/json', content_encoding='gzip', delivery_mode=2, priority=7,
    correlation_id='correlation', reply_to='somewhere', expiration='60000',
    message_id='id', timestamp=1700000000, type='event', user_id='guest', app_id='app',
    cluster_id='cluster',
    headers={
        'bool': True, 'int': -5, 'long': 1 << 40, 'text': 'gr\u00fc\u00dfe', 'bytes': b'\x00\xff',
        'none': None, 'decimal': decimal.Decimal('3.14'),
        'when': datetime.datetime(2024, 2, 29, 12, 0, 0),
        'list': [1, 'two', None, {'three': [3]}], 'table': {'nested': {'deep': False}},
    })
channel.basic_publish(exchange='', routing_key=queue, body=b'{}', properties=sent)
method, received, body = channel.basic_get(queue=queue, auto_ack=True)
for name, value in vars(sent).items():
    if vars(received)[name] != value:
        sys.exit('%s: sent %r, received %r' % (name, value, vars(received)[name]))
if body != b'{}':
    sys.exit('body %r' % body)
print('all the same', flush=True)
connection.close()
