// Package beds is a client of BEDS in one file, to be copied. It needs github.com/rabbitmq/amqp091-go, and is safe for many goroutines.
//
//	client := beds.New("amqp://localhost", "shop")
//	reply, err := client.Request(ctx, "cities", "count", beds.Members{Payload: map[string]any{"country": "CH"}})
//	err = client.FetchAll(ctx, "cities", map[string]any{"limit": 500}, func(rows json.RawMessage) error { … })
//
// The deadline is the one of the context, or 10 seconds.
package beds

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Members of an envelope beside those that the client writes. What is nil is left out. Write whole numbers beyond 2^53 as
// strings (`json:",string"`), and decimals, too; a time.Time has an offset.
type Members struct {
	Payload any `json:"payload,omitempty"`
	Query   any `json:"query,omitempty"`
	Key     any `json:"key,omitempty"`
}

// Reply to a request that was carried out.
type Reply struct {
	ID   string          `json:"id"`
	OK   bool            `json:"ok"`
	Data json.RawMessage `json:"data"`
	Page struct {
		Cursor string `json:"cursor"`
		Count  *int64 `json:"count"`
	} `json:"page"`
	By struct {
		Node, Domain, Version, Mode string
	} `json:"by"`
	Error *Error `json:"error"`
}

// Error has a code of ERRORS.md. Retryable: the same request may be sent again, after a pause, and does no harm.
type Error struct {
	Code, Status, Message, Field, Hint string
	Retryable                          bool
	Problems                           []struct{ Field, Message string }
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

type Client struct {
	url, name, Exchange string
	mutex               sync.Mutex
	link                *link
	repeatable          sync.Map
}

// A link is one connection; it never comes back, the client makes another.
type link struct {
	channel *amqp.Channel
	lost    chan struct{}
	mutex   sync.Mutex
	waiting map[string]chan any // a Reply, or an error
}

var errLost = errors.New("the connection was lost")

func New(url, name string) *Client { return &Client{url: url, name: name, Exchange: "beds.request"} }

func (c *Client) Request(ctx context.Context, domain, op string, members Members) (*Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // an earlier deadline of the caller's holds
	defer cancel()
	deadline, _ := ctx.Deadline()
	id := rand.Text()
	meta := map[string]any{"client": c.name, "deadlineMs": max(1, time.Until(deadline).Milliseconds()), "sentAt": time.Now().UnixMilli()}
	body, err := json.Marshal(struct {
		V      int            `json:"v"`
		ID     string         `json:"id"`
		Domain string         `json:"domain"`
		Op     string         `json:"op"`
		Meta   map[string]any `json:"meta"`
		Members
	}{1, id, domain, op, meta, members})
	if err != nil {
		return nil, err
	}
	target := domain + "." + op
	for {
		reply, wasSent, err := c.ask(ctx, deadline, id, target, body)
		if err == nil {
			// What may be sent again after a lost connection the domain says itself.
			if reply.By.Mode == "read" || reply.By.Mode == "idempotent" {
				c.repeatable.Store(target, true)
			}
			if reply.OK {
				return reply, nil
			}
			return nil, reply.Error
		}
		_, mayRepeat := c.repeatable.Load(target)
		switch refused := (*Error)(nil); {
		case errors.As(err, &refused):
			return nil, err
		case wasSent && op != "fetch" && !mayRepeat:
			return nil, &Error{Code: "CLIENT_INDETERMINATE", Message: "whether it was carried out is not known: " + err.Error()}
		case ctx.Err() != nil:
			return nil, &Error{Code: "CLIENT_TIMEOUT", Message: err.Error(), Retryable: true}
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// FetchAll gives each page to use; an error of its ends the reading.
func (c *Client) FetchAll(ctx context.Context, domain string, query map[string]any, use func(rows json.RawMessage) error) error {
	page := map[string]any{}
	for name, value := range query {
		page[name] = value
	}
	for {
		reply, err := c.Request(ctx, domain, "fetch", Members{Query: page})
		if err == nil {
			err = use(reply.Data)
		}
		if err != nil || reply.Page.Cursor == "" {
			return err
		}
		page["cursor"] = reply.Page.Cursor
	}
}

func (c *Client) ask(ctx context.Context, deadline time.Time, id, target string, body []byte) (*Reply, bool, error) {
	l, err := c.connected()
	if err != nil {
		return nil, false, err
	}
	answer := make(chan any, 1)
	l.mutex.Lock()
	l.waiting[id] = answer
	l.mutex.Unlock()
	defer func() {
		l.mutex.Lock()
		delete(l.waiting, id)
		l.mutex.Unlock()
	}()
	err = l.channel.PublishWithContext(ctx, c.Exchange, target, true, false, amqp.Publishing{
		ContentType: "application/json", ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: id, DeliveryMode: amqp.Persistent,
		Expiration: strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10), Body: body,
	})
	if err != nil {
		return nil, true, err
	}
	select {
	case found := <-answer:
		if reply, isReply := found.(*Reply); isReply {
			return reply, true, nil
		}
		return nil, true, found.(error)
	case <-l.lost:
		return nil, true, errLost
	case <-time.After(time.Until(deadline) + 250*time.Millisecond): // a timer of its own, always
		return nil, true, context.DeadlineExceeded
	}
}

func (c *Client) connected() (*link, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.link != nil {
		select {
		case <-c.link.lost:
		default:
			return c.link, nil
		}
	}
	connection, err := amqp.DialConfig(c.url, amqp.Config{Heartbeat: 10 * time.Second, Locale: "en_US", Dial: amqp.DefaultDial(5 * time.Second)})
	if err != nil {
		return nil, err
	}
	channel, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	// Direct reply-to: consumed first, without acknowledgements, on the channel that publishes.
	replies, err := channel.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	l := &link{channel: channel, lost: make(chan struct{}), waiting: map[string]chan any{}}
	returned := channel.NotifyReturn(make(chan amqp.Return, 16))
	go func() {
		for back := range returned {
			l.give(back.CorrelationId, &Error{Code: "CLIENT_UNROUTABLE", Message: "RabbitMQ has no queue for " + back.RoutingKey})
		}
	}()
	go func() {
		for message := range replies {
			reply := &Reply{}
			if decoder := json.NewDecoder(bytes.NewReader(message.Body)); decoder.Decode(reply) == nil {
				l.give(message.CorrelationId, reply)
			}
		}
		close(l.lost) // all that waits fails at once: a direct reply cannot come any more
		connection.Close()
	}()
	c.link = l
	return l, nil
}

func (l *link) give(id string, answer any) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if waiting, isWaited := l.waiting[id]; isWaited {
		select {
		case waiting <- answer:
		default:
		}
	}
}

func (c *Client) Close() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.link == nil {
		return nil
	}
	if err := c.link.channel.Close(); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	return nil
}
