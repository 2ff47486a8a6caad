// GrowthBook's own remote evaluator behind HTTP. The client key names one of the payloads given.
const http = require("node:http");
const { evaluateFeatures } = require("@growthbook/proxy-eval");

const payloads = JSON.parse(process.env.PAYLOADS);
const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", async () => {
    const payload = payloads[request.url.split("/").pop()];
    const asked = JSON.parse(Buffer.concat(chunks).toString());
    const forcedFeatures = new Map(asked.forcedFeatures);
    const answer = await evaluateFeatures({ payload, ...asked, forcedFeatures });
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(answer));
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
