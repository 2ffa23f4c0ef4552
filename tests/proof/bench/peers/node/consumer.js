// The consumer of both Node peers: JSON parsed, one POST a message, single acks.
// Usage: node axios.js|undici.js AMQP_URI QUEUE RECEIVER_URL PREFETCH [sign]
const amqp = require("amqplib");

exports.consume = async (post) => {
  const [uri, queue, url, prefetch] = process.argv.slice(2);
  const connection = await amqp.connect(uri);
  const channel = await connection.createChannel();
  await channel.prefetch(Number(prefetch));
  await channel.consume(queue, async (message) => {
    const event = JSON.parse(message.content.toString());
    event.destination = url;
    await post(url, event);
    channel.ack(message);
  });
};
