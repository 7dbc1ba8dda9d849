"""Take one task at a time from a queue; each takes SECONDS. The task "quit"
ends it.

usage: worker.py URL QUEUE SECONDS
"""
import sys
import time

import pika

url, queue, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue=queue, durable=True)


def callback(ch, method, properties, body):
    task = body.decode()
    if task == 'quit':
        ch.stop_consuming()
    else:
        time.sleep(seconds)
        print('done', task, flush=True)
    ch.basic_ack(delivery_tag=method.delivery_tag)


channel.basic_qos(prefetch_count=1)
channel.basic_consume(queue=queue, on_message_callback=callback)
print('waiting for tasks', flush=True)
channel.start_consuming()
connection.close()
