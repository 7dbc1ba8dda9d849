package clients

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// goClient is the argument by which the test's binary becomes amqp091-go's program.
const goClient = "amqp091-go"

// amqp091 does a step with amqp091-go, and ends the process where the client fails.
func amqp091(url, step, queue string) {
	steps := map[string]func(url, queue string) error{
		"publish": goPublish, "consume": goConsume, "requeue": goRequeue,
		"deadletter": goDeadLetter, "rpc": goRPC, "reconnect": goReconnect,
	}
	if err := steps[step](url, queue); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// goConnect opens a connection and a channel in confirm mode with a prefetch of one.
func goConnect(url string) (*amqp.Connection, *amqp.Channel, error) {
	var conn *amqp.Connection
	var err error
	for range 200 {
		if conn, err = amqp.Dial(url); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return nil, nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, nil, err
	}
	return conn, ch, errors.Join(ch.Confirm(false), ch.Qos(1, 0, false))
}

func goSend(ch *amqp.Channel, key, body string, p amqp.Publishing) error {
	p.DeliveryMode, p.Body = amqp.Persistent, []byte(body)
	confirm, err := ch.PublishWithDeferredConfirm("", key, true, false, p)
	if err != nil {
		return err
	}
	if !confirm.Wait() {
		return fmt.Errorf("%s was nacked", body)
	}
	return nil
}

func goFreshness(d amqp.Delivery) string {
	if d.Redelivered {
		return "again"
	}
	return "new"
}

// goTake hands each delivery to handle until it says that it was the last one.
func goTake(ch *amqp.Channel, queue string, autoAck bool, handle func(amqp.Delivery) (last bool, err error)) error {
	deliveries, err := ch.Consume(queue, "", autoAck, false, false, false, nil)
	if err != nil {
		return err
	}
	for d := range deliveries {
		if last, err := handle(d); last || err != nil {
			return err
		}
	}
	return amqp.ErrClosed
}

func goPublish(url, queue string) error {
	conn, ch, err := goConnect(url)
	if err != nil {
		return err
	}
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	if _, err := ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		return err
	}
	for i := 1; i <= 3; i++ {
		body := fmt.Sprintf("message %d", i)
		if err := goSend(ch, queue, body, amqp.Publishing{}); err != nil {
			return err
		}
		fmt.Println("confirmed", body)
	}
	if err := goSend(ch, queue+".nobody", "stray", amqp.Publishing{}); err != nil {
		return err
	}
	fmt.Println("returned", (<-returns).ReplyText)
	return conn.Close()
}

func goConsume(url, queue string) error {
	conn, ch, err := goConnect(url)
	if err != nil {
		return err
	}
	err = goTake(ch, queue, false, func(d amqp.Delivery) (bool, error) {
		fmt.Println("got", string(d.Body), goFreshness(d))
		return string(d.Body) == "message 3", d.Ack(false)
	})
	return errors.Join(err, conn.Close())
}

func goRequeue(url, queue string) error {
	conn, ch, err := goConnect(url)
	if err != nil {
		return err
	}
	err = goTake(ch, queue, false, func(d amqp.Delivery) (bool, error) {
		fmt.Println("got", string(d.Body), goFreshness(d))
		if d.Redelivered {
			return true, d.Ack(false)
		}
		return false, d.Nack(false, true)
	})
	return errors.Join(err, conn.Close())
}

func goDeadLetter(url, queue string) error {
	conn, ch, err := goConnect(url)
	if err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(queue+".dead", true, false, false, false, nil); err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue + ".dead"}); err != nil {
		return err
	}
	if err := goSend(ch, queue, "spoiled", amqp.Publishing{}); err != nil {
		return err
	}
	d, _, err := ch.Get(queue, false)
	if err := errors.Join(err, d.Reject(false)); err != nil {
		return err
	}
	err = goTake(ch, queue+".dead", true, func(d amqp.Delivery) (bool, error) {
		deaths, _ := d.Headers["x-death"].([]any)
		if len(deaths) == 0 {
			return true, fmt.Errorf("%s came without x-death: %v", d.Body, d.Headers)
		}
		death := deaths[0].(amqp.Table)
		expiration := death["original-expiration"]
		if expiration == nil {
			expiration = "none"
		}
		fmt.Println("dead", string(d.Body), death["reason"], "from", death["queue"], "count", death["count"],
			"keys", strings.Trim(fmt.Sprint(death["routing-keys"]), "[]"), "expiration", expiration)
		if string(d.Body) == "late" {
			return true, nil
		}
		return false, goSend(ch, queue, "late", amqp.Publishing{Expiration: "20"})
	})
	return errors.Join(err, conn.Close())
}

func goRPC(url, queue string) error {
	serving, server, err := goConnect(url)
	if err != nil {
		return err
	}
	asking, client, err := goConnect(url)
	if err != nil {
		return err
	}
	if _, err := server.QueueDeclare(queue, false, true, false, false, nil); err != nil {
		return err
	}
	requests, err := server.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	replies, err := client.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
	if err != nil {
		return err
	}
	for _, word := range []string{"one", "two", "three"} {
		err := goSend(client, queue, word, amqp.Publishing{ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: word})
		if err != nil {
			return err
		}
		request := <-requests
		answer := strings.ToUpper(string(request.Body))
		err = goSend(server, request.ReplyTo, answer, amqp.Publishing{CorrelationId: request.CorrelationId})
		if err := errors.Join(err, request.Ack(false)); err != nil {
			return err
		}
		reply := <-replies
		fmt.Println("answer", reply.CorrelationId, string(reply.Body))
	}
	return errors.Join(asking.Close(), serving.Close())
}

func goReconnect(url, queue string) error {
	_, ch, err := goConnect(url)
	if err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		return err
	}
	for i := 1; i <= 3; i++ {
		if err := goSend(ch, queue, fmt.Sprintf("message %d", i), amqp.Publishing{}); err != nil {
			return err
		}
	}
	fmt.Println("confirmed")
	err = goTake(ch, queue, false, func(d amqp.Delivery) (bool, error) {
		fmt.Println("holding", string(d.Body))
		return false, nil
	})
	if !errors.Is(err, amqp.ErrClosed) {
		return err
	}
	fmt.Println("lost")
	conn, ch, err := goConnect(url)
	if err != nil {
		return err
	}
	err = goTake(ch, queue, false, func(d amqp.Delivery) (bool, error) {
		body := string(d.Body)
		fmt.Println("got", body, goFreshness(d))
		if err := d.Ack(false); err != nil {
			return true, err
		}
		if body == "message 3" {
			if err := goSend(ch, queue, "message 4", amqp.Publishing{}); err != nil {
				return true, err
			}
			fmt.Println("confirmed message 4")
		}
		return body == "message 4", nil
	})
	return errors.Join(err, conn.Close())
}
