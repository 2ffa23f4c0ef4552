"""The demo, `make demo`: real events of Evolution through a real RabbitMQ, with failures, in half a minute."""
