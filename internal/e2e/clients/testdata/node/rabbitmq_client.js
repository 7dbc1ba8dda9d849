// The steps with rabbitmq-client, which connects and subscribes again by itself.
//
// usage: node rabbitmq_client.js URL STEP QUEUE
'use strict'
const { Connection, ConsumerStatus } = require('rabbitmq-client')
const { once } = require('node:events')

const [url, step, queue] = process.argv.slice(2)
const say = (...words) => console.log(...words)
const text = (message) => message.body.toString()
const freshness = (message) => (message.redelivered ? 'again' : 'new')
const to = (routingKey, properties) => ({ routingKey, durable: true, ...properties })

function connect () {
  const rabbit = new Connection({ url, retryLow: 50, retryHigh: 200 })
  rabbit.on('error', (error) => console.error('connection:', error.message))
  return rabbit
}

// A consumer of one message at a time, until the handler says that it was the last one.
async function consume (rabbit, options, handle) {
  await new Promise((resolve, reject) => {
    const consumer = rabbit.createConsumer({ concurrency: 1, qos: { prefetchCount: 1 }, ...options }, async (message) => {
      const { status, last } = await handle(message)
      if (last) setImmediate(() => consumer.close().then(resolve, reject)) // it waits for this handler
      return status
    })
    consumer.on('error', (error) => console.error('consumer:', error.message))
  })
}

const steps = {
  async publish (rabbit) {
    const publisher = rabbit.createPublisher({ confirm: true, queues: [{ queue, durable: true }] })
    publisher.on('basic.return', (message) => say('returned', message.replyText))
    for (const body of ['message 1', 'message 2', 'message 3']) {
      await publisher.send(to(queue), body)
      say('confirmed', body)
    }
    await publisher.send(to(queue + '.nobody', { mandatory: true }), 'stray')
    await publisher.close()
  },

  async consume (rabbit) {
    await consume(rabbit, { queue, queueOptions: { durable: true } }, (message) => {
      say('got', text(message), freshness(message))
      return { status: ConsumerStatus.ACK, last: text(message) === 'message 3' }
    })
  },

  async requeue (rabbit) {
    await consume(rabbit, { queue, queueOptions: { durable: true } }, (message) => {
      say('got', text(message), freshness(message))
      return { status: message.redelivered ? ConsumerStatus.ACK : ConsumerStatus.REQUEUE, last: message.redelivered }
    })
  },

  async deadletter (rabbit) {
    const dead = queue + '.dead'
    await rabbit.queueDeclare({ queue: dead, durable: true })
    await rabbit.queueDeclare({
      queue, durable: true, arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead }
    })
    const publisher = rabbit.createPublisher({ confirm: true })
    await publisher.send(to(queue), 'spoiled')
    await consume(rabbit, { queue, queueOptions: { passive: true } }, () => ({ status: ConsumerStatus.DROP, last: true }))
    await consume(rabbit, { queue: dead, noAck: true, queueOptions: { durable: true } }, async (message) => {
      const death = message.headers['x-death'][0]
      say('dead', text(message), death.reason, 'from', death.queue, 'count', death.count,
        'keys', ...death['routing-keys'], 'expiration', death['original-expiration'] ?? 'none')
      const last = text(message) === 'late'
      if (!last) await publisher.send(to(queue, { expiration: '20' }), 'late')
      return { last }
    })
    await publisher.close()
  },

  async rpc (serving) {
    const asking = connect()
    const server = serving.createConsumer({ queue, queueOptions: { autoDelete: true } }, async (request, reply) => {
      await reply(text(request).toUpperCase(), { correlationId: request.correlationId })
    })
    await once(server, 'ready')
    const client = asking.createRPCClient({ confirm: true }) // asks for replies at amq.rabbitmq.reply-to
    for (const word of ['one', 'two', 'three']) {
      say('answer', word, text(await client.send(queue, word)))
    }
    await client.close()
    await asking.close()
    await server.close()
  },

  async reconnect (rabbit) {
    const publisher = rabbit.createPublisher({ confirm: true, maxAttempts: 5, queues: [{ queue, durable: true }] })
    for (const body of ['message 1', 'message 2', 'message 3']) await publisher.send(to(queue), body)
    say('confirmed')
    let held = false
    await consume(rabbit, { queue, queueOptions: { durable: true } }, async (message) => {
      if (!held) {
        held = true
        say('holding', text(message))
        await new Promise((resolve) => rabbit.once('error', resolve)) // until the connection has gone
        return {}
      }
      say('got', text(message), freshness(message))
      if (text(message) === 'message 3') {
        await publisher.send(to(queue), 'message 4')
        say('confirmed message 4')
      }
      return { last: text(message) === 'message 4' }
    })
    await publisher.close()
  }
}

async function main () {
  const rabbit = connect()
  await steps[step](rabbit)
  await rabbit.close()
}

main().catch((error) => { console.error(error); process.exit(1) })
