// axios with a keep-alive agent: what Evolution itself posts with (it sets no agent, which is slower still).
const http = require("http");
const axios = require("axios");
const { consume } = require("./consumer");

const client = axios.create({ httpAgent: new http.Agent({ keepAlive: true }), timeout: 30000 });
consume((url, event) => client.post(url, event));
