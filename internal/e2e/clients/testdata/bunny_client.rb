# The steps with bunny, which recovers its connections, channels and consumers by itself.
#
# usage: ruby bunny_client.rb URL STEP QUEUE
require 'bunny'

URL, STEP, QUEUE = ARGV
$stdout.sync = true

def connect(**options)
  Bunny.new(URL, network_recovery_interval: 0.1, log_level: :fatal, **options).start
end

def freshness(info)
  info.redelivered? ? 'again' : 'new'
end

# The default exchange of a channel in confirm mode.
def confirming(connection)
  channel = connection.create_channel
  channel.confirm_select
  channel.default_exchange
end

def send_confirmed(exchange, key, body, **properties)
  exchange.publish(body, routing_key: key, persistent: true, **properties)
  raise "#{body} was nacked" unless exchange.channel.wait_for_confirms
end

# Hands each delivery to the block until it returns true.
def take(queue, no_ack: false)
  done = Thread::Queue.new
  consumer = queue.subscribe(manual_ack: !no_ack) do |info, properties, body|
    done << true if yield(info, properties, body) == true
  rescue StandardError => e
    done << e
  end
  result = done.pop
  raise result if result.is_a?(StandardError)

  consumer.cancel
end

def publish
  connection = connect
  exchange = confirming(connection)
  connection.create_channel.queue(QUEUE, durable: true)
  ['message 1', 'message 2', 'message 3'].each do |body|
    send_confirmed(exchange, QUEUE, body)
    puts "confirmed #{body}"
  end
  returned = Thread::Queue.new
  exchange.on_return { |info, _, _| returned << info.reply_text }
  send_confirmed(exchange, "#{QUEUE}.nobody", 'stray', mandatory: true)
  puts "returned #{returned.pop}"
  connection.close
end

def consume
  channel = connect.create_channel
  channel.prefetch(1)
  take(channel.queue(QUEUE, durable: true)) do |info, _, body|
    puts "got #{body} #{freshness(info)}"
    channel.ack(info.delivery_tag)
    body == 'message 3'
  end
  channel.connection.close
end

def requeue
  channel = connect.create_channel
  channel.prefetch(1)
  take(channel.queue(QUEUE, durable: true)) do |info, _, body|
    puts "got #{body} #{freshness(info)}"
    if info.redelivered?
      channel.ack(info.delivery_tag)
      true
    else
      channel.nack(info.delivery_tag, false, true)
    end
  end
  channel.connection.close
end

def deadletter
  channel = connect.create_channel
  publisher = confirming(channel.connection)
  dead = channel.queue("#{QUEUE}.dead", durable: true)
  queue = channel.queue(QUEUE, durable: true, arguments: {
                          'x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => dead.name
                        })
  send_confirmed(publisher, QUEUE, 'spoiled')
  info, = queue.pop(manual_ack: true)
  channel.reject(info.delivery_tag, false)
  take(dead, no_ack: true) do |_, properties, body|
    death = properties.headers['x-death'].first
    puts ['dead', body, death['reason'], 'from', death['queue'], 'count', death['count'], 'keys',
          *death['routing-keys'], 'expiration', death['original-expiration'] || 'none'].join(' ')
    send_confirmed(publisher, QUEUE, 'late', expiration: 20) if body == 'spoiled'
    body == 'late'
  end
  channel.connection.close
end

def rpc
  server = connect.create_channel
  client = connect.create_channel
  server.queue(QUEUE, auto_delete: true).subscribe(manual_ack: true) do |info, properties, body|
    server.default_exchange.publish(body.upcase, routing_key: properties.reply_to,
                                                 correlation_id: properties.correlation_id)
    server.ack(info.delivery_tag)
  end
  replies = Thread::Queue.new
  client.basic_consume('amq.rabbitmq.reply-to', '', true) do |_, properties, body|
    replies << "answer #{properties.correlation_id} #{body}"
  end
  %w[one two three].each do |word|
    client.default_exchange.publish(word, routing_key: QUEUE, reply_to: 'amq.rabbitmq.reply-to', correlation_id: word)
    puts replies.pop
  end
  client.connection.close
  server.connection.close
end

def reconnect
  # Consumers may start again before other channels are open again.
  recovered = Thread::Queue.new
  channel = connect(recovery_completed: -> { recovered.close }).create_channel
  publisher = confirming(channel.connection)
  queue = channel.queue(QUEUE, durable: true)
  ['message 1', 'message 2', 'message 3'].each { |body| send_confirmed(publisher, QUEUE, body) }
  puts 'confirmed'
  channel.prefetch(1)
  held = false
  take(queue) do |info, _, body|
    unless held
      held = true
      puts "holding #{body}"
      next
    end
    recovered.pop # until it is closed
    puts "got #{body} #{freshness(info)}"
    channel.ack(info.delivery_tag)
    if body == 'message 3'
      send_confirmed(publisher, QUEUE, 'message 4')
      puts 'confirmed message 4'
    end
    body == 'message 4'
  end
  channel.connection.close
end

send(STEP)
