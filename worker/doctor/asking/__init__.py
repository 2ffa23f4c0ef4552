"""What asks the outside: RabbitMQ and its management API, database servers, DNS and receivers. Nothing is judged."""
