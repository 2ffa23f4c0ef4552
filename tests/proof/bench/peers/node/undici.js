// undici's request, the fastest HTTP client that Node has.
const { Agent, request } = require("undici");
const { consume } = require("./consumer");

const dispatcher = new Agent({ connections: 512 });
const headers = { "content-type": "application/json" };
consume(async (url, event) => {
  const answer = await request(url, { method: "POST", body: JSON.stringify(event), headers, dispatcher });
  await answer.body.dump();
});
