"""Publish to an exchange: one message for each KEY=TEXT.

usage: emit.py URL EXCHANGE TYPE KEY=TEXT...
"""
import sys

import pika

url, exchange, kind = sys.argv[1:4]

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare(exchange=exchange, exchange_type=kind)
for argument in sys.argv[4:]:
    key, _, text = argument.partition('=')
    channel.basic_publish(exchange=exchange, routing_key=key, body=text)
connection.close()
