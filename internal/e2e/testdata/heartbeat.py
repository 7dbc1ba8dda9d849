"""Stay connected by heartbeats of a second while nothing else is said.

usage: heartbeat.py URL QUEUE
"""
import sys

import pika

url, queue = sys.argv[1:3]

parameters = pika.URLParameters(url)
parameters.heartbeat = 1
connection = pika.BlockingConnection(parameters)
channel = connection.channel()
channel.queue_declare(queue=queue, exclusive=True)
connection.sleep(4)
channel.basic_publish(exchange='', routing_key=queue, body='awake')
method, properties, body = channel.basic_get(queue=queue, auto_ack=True)
print(body.decode(), flush=True)
connection.close()
