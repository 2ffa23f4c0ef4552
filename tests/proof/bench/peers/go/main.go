// The Go peer: amqp091-go and net/http; JSON parsed, one POST a message, single acks.
// Usage: peer AMQP_URI QUEUE RECEIVER_URL PREFETCH [sign]: by Standard Webhooks with a fifth argument, `sign`.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

type poster struct {
	client *http.Client
	url    string
	key    []byte // nil: unsigned
}

func main() {
	uri, queue, url := os.Args[1], os.Args[2], os.Args[3]
	prefetch, err := strconv.Atoi(os.Args[4])
	check(err)
	transport := &http.Transport{MaxConnsPerHost: 512, MaxIdleConnsPerHost: 512}
	post := poster{client: &http.Client{Transport: transport}, url: url}
	if len(os.Args) > 5 && os.Args[5] == "sign" {
		post.key = random(32)
	}

	connection, err := amqp.Dial(uri)
	check(err)
	channel, err := connection.Channel()
	check(err)
	check(channel.Qos(prefetch, 0, false))
	deliveries, err := channel.Consume(queue, "", false, false, false, false, nil)
	check(err)
	for delivery := range deliveries {
		go func(delivery amqp.Delivery) {
			check(post.event(delivery.Body))
			check(delivery.Ack(false))
		}(delivery)
	}
}

func (p *poster) event(raw []byte) error {
	var event map[string]any
	if err := json.Unmarshal(raw, &event); err != nil {
		return err
	}
	event["destination"] = p.url
	body, err := json.Marshal(event)
	if err != nil {
		return err
	}
	request, err := http.NewRequest("POST", p.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if p.key != nil {
		p.sign(request.Header, body)
	}
	answer, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func (p *poster) sign(headers http.Header, body []byte) {
	id, stamp := "msg_"+hex.EncodeToString(random(16)), strconv.FormatInt(time.Now().Unix(), 10)
	code := hmac.New(sha256.New, p.key)
	fmt.Fprintf(code, "%s.%s.", id, stamp)
	code.Write(body)
	headers.Set("webhook-id", id)
	headers.Set("webhook-timestamp", stamp)
	headers.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(code.Sum(nil)))
}

func random(count int) []byte {
	bytes := make([]byte, count)
	_, err := rand.Read(bytes)
	check(err)
	return bytes
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
