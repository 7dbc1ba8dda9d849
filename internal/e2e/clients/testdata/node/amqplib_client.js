// The steps with amqplib, its promises.
//
// usage: node amqplib_client.js URL STEP QUEUE
'use strict'
const amqplib = require('amqplib')
const { setTimeout: pause } = require('node:timers/promises')

const [url, step, queue] = process.argv.slice(2)
const say = (...words) => console.log(...words)
const freshness = (message) => (message.fields.redelivered ? 'again' : 'new')
const persistent = { persistent: true }

// The deliveries of a queue one after the other, for as long as the channel lives.
async function * deliveries (channel, from, options) {
  const waiting = []
  let wake = () => {}
  let open = true
  channel.on('close', () => { open = false; wake() })
  await channel.consume(from, (message) => { waiting.push(message); wake() }, options)
  while (open || waiting.length > 0) {
    if (waiting.length > 0) yield waiting.shift()
    else await new Promise((resolve) => { wake = resolve })
  }
}

async function connect () {
  for (let attempt = 1; ; attempt++) {
    try {
      const connection = await amqplib.connect(url)
      connection.on('error', () => {}) // the close that follows is what counts
      return connection
    } catch (error) {
      if (attempt === 200) throw error
      await pause(100)
    }
  }
}

// Send with a confirm.
function send (channel, key, body, options) {
  return new Promise((resolve, reject) =>
    channel.sendToQueue(key, Buffer.from(body), options, (error) => error ? reject(error) : resolve()))
}

const steps = {
  async publish (connection) {
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue(queue)
    for (const body of ['message 1', 'message 2', 'message 3']) {
      await send(channel, queue, body, persistent)
      say('confirmed', body)
    }
    channel.on('return', (message) => say('returned', message.fields.replyText))
    await send(channel, queue + '.nobody', 'stray', { mandatory: true })
  },

  async consume (connection) {
    const channel = await connection.createChannel()
    await channel.prefetch(1)
    for await (const message of deliveries(channel, queue)) {
      say('got', message.content.toString(), freshness(message))
      channel.ack(message)
      if (message.content.toString() === 'message 3') break
    }
    await channel.close()
  },

  async requeue (connection) {
    const channel = await connection.createChannel()
    await channel.prefetch(1)
    for await (const message of deliveries(channel, queue)) {
      say('got', message.content.toString(), freshness(message))
      if (message.fields.redelivered) {
        channel.ack(message)
        break
      }
      channel.nack(message)
    }
    await channel.close()
  },

  async deadletter (connection) {
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue(queue + '.dead')
    await channel.assertQueue(queue, { deadLetterExchange: '', deadLetterRoutingKey: queue + '.dead' })
    await send(channel, queue, 'spoiled', persistent)
    channel.reject(await channel.get(queue), false)
    for await (const message of deliveries(channel, queue + '.dead', { noAck: true })) {
      const body = message.content.toString()
      const death = message.properties.headers['x-death'][0]
      say('dead', body, death.reason, 'from', death.queue, 'count', death.count,
        'keys', ...death['routing-keys'], 'expiration', death['original-expiration'] ?? 'none')
      if (body === 'late') break
      await send(channel, queue, 'late', { expiration: 20 })
    }
  },

  async rpc (serving) {
    const asking = await connect()
    const server = await serving.createChannel()
    const client = await asking.createChannel()
    await server.assertQueue(queue, { durable: false, autoDelete: true })
    await server.consume(queue, (request) => {
      const { replyTo, correlationId } = request.properties
      server.sendToQueue(replyTo, Buffer.from(request.content.toString().toUpperCase()), { correlationId })
      server.ack(request)
    })
    const replies = deliveries(client, 'amq.rabbitmq.reply-to', { noAck: true })
    let next = replies.next() // consumes before anything is asked
    await client.checkQueue(queue)
    for (const word of ['one', 'two', 'three']) {
      client.sendToQueue(queue, Buffer.from(word), { replyTo: 'amq.rabbitmq.reply-to', correlationId: word })
      const { value: reply } = await next
      next = replies.next()
      say('answer', reply.properties.correlationId, reply.content.toString())
    }
    await asking.close()
  },

  async reconnect (connection) {
    let channel = await connection.createConfirmChannel()
    await channel.assertQueue(queue)
    for (const body of ['message 1', 'message 2', 'message 3']) await send(channel, queue, body, persistent)
    say('confirmed')
    await channel.prefetch(1)
    const lost = new Promise((resolve) => connection.once('close', resolve))
    await channel.consume(queue, (message) => say('holding', message.content.toString()))
    await lost
    say('lost')

    connection = await connect()
    channel = await connection.createConfirmChannel()
    await channel.prefetch(1)
    for await (const message of deliveries(channel, queue)) {
      const body = message.content.toString()
      say('got', body, freshness(message))
      channel.ack(message)
      if (body === 'message 3') {
        await send(channel, queue, 'message 4', persistent)
        say('confirmed message 4')
      }
      if (body === 'message 4') break
    }
    await channel.close()
    await connection.close()
  }
}

async function main () {
  const connection = await connect()
  let closed = false
  connection.on('close', () => { closed = true })
  await steps[step](connection)
  if (!closed) await connection.close()
}

main().catch((error) => { console.error(error); process.exit(1) })
