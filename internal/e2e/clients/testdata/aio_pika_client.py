"""The steps with aio-pika, its robust connection.

usage: aio_pika_client.py URL STEP QUEUE
"""
import asyncio
import sys

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.exceptions import DeliveryError
from aio_pika.patterns import RPC

url, step, name = sys.argv[1:4]


def say(*words):
    print(*words, flush=True)


def connect():
    return aio_pika.connect_robust(url + '?reconnect_interval=0.1')


def message(body, **properties):
    return Message(body.encode(), delivery_mode=DeliveryMode.PERSISTENT, **properties)


def freshness(incoming):
    return 'again' if incoming.redelivered else 'new'


async def publish():
    async with await connect() as connection:
        channel = await connection.channel(on_return_raises=True)
        await channel.declare_queue(name, durable=True)
        for number in 1, 2, 3:
            body = 'message %d' % number
            await channel.default_exchange.publish(message(body), name)
            say('confirmed', body)
        try:
            await channel.default_exchange.publish(message('stray'), name + '.nobody')
        except DeliveryError as error:
            say('returned', error.message.delivery.reply_text)


async def consume():
    async with await connect() as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.declare_queue(name, durable=True)
        async with queue.iterator() as messages:
            async for incoming in messages:
                async with incoming.process():
                    say('got', incoming.body.decode(), freshness(incoming))
                if incoming.body == b'message 3':
                    break


async def requeue():
    async with await connect() as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.declare_queue(name, durable=True)
        async with queue.iterator() as messages:
            async for incoming in messages:
                say('got', incoming.body.decode(), freshness(incoming))
                if incoming.redelivered:
                    await incoming.ack()
                    break
                await incoming.nack(requeue=True)


async def deadletter():
    async with await connect() as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(name, durable=True, arguments={
            'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': name + '.dead'})
        dead = await channel.declare_queue(name + '.dead', durable=True)
        await channel.default_exchange.publish(message('spoiled'), name)
        await (await queue.get()).reject(requeue=False)
        async with dead.iterator(no_ack=True) as graves:
            async for incoming in graves:
                death = incoming.headers['x-death'][0]
                say('dead', incoming.body.decode(), death['reason'], 'from', death['queue'], 'count', death['count'],
                    'keys', *death['routing-keys'], 'expiration', death.get('original-expiration', 'none'))
                if incoming.body == b'late':
                    break
                await channel.default_exchange.publish(message('late', expiration=0.02), name)


async def rpc():
    async with await connect() as serving, await connect() as asking:
        server, client = await serving.channel(), await asking.channel()
        queue = await server.declare_queue(name, auto_delete=True)
        replies = asyncio.Queue()

        async def on_request(incoming):
            async with incoming.process():
                await server.default_exchange.publish(
                    Message(incoming.body.upper(), correlation_id=incoming.correlation_id), incoming.reply_to)

        await queue.consume(on_request)
        direct = await client.get_queue('amq.rabbitmq.reply-to', ensure=False)
        await direct.consume(replies.put, no_ack=True)
        for word in 'one', 'two', 'three':
            await client.default_exchange.publish(
                message(word, reply_to='amq.rabbitmq.reply-to', correlation_id=word), name)
            reply = await replies.get()
            say('answer', reply.correlation_id, reply.body.decode())

        # The library's own pattern: a queue for the replies, and one for calls that expire.
        async def shout(*, word):
            return word.upper()

        callee, caller = await RPC.create(server), await RPC.create(client)
        await callee.register(name + '.shout', shout, auto_delete=True)
        if await caller.call(name + '.shout', kwargs={'word': 'four'}) != 'FOUR':
            sys.exit('the RPC pattern answered something else')


async def reconnect():
    async with await connect() as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.declare_queue(name, durable=True)
        for number in 1, 2, 3:
            await channel.default_exchange.publish(message('message %d' % number), name)
        say('confirmed')
        held, back, sent, done = False, asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def on_message(incoming):
            nonlocal held
            if not held:
                held = True
                say('holding', incoming.body.decode())
                return
            await back.wait()  # consumers start again before their channel is whole
            say('got', incoming.body.decode(), freshness(incoming))
            await incoming.ack()
            if incoming.body == b'message 3':
                await channel.default_exchange.publish(message('message 4'), name)
                say('confirmed message 4')
                sent.set()
            if incoming.body == b'message 4':
                done.set()

        connection.reconnect_callbacks.add(lambda *_: back.set())
        await queue.consume(on_message)
        await sent.wait()
        await done.wait()


asyncio.run({'publish': publish, 'consume': consume, 'requeue': requeue,
             'deadletter': deadletter, 'rpc': rpc, 'reconnect': reconnect}[step]())
