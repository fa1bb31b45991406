// Reads each document of a file by the CloudEvents SDK, as a Kafka consumer does; a line for each: ok, or why not.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

// The packages are not beside this file: the first argument is the directory that has them.
const [directory, file] = process.argv.slice(2);
const { CloudEvent, Kafka } = createRequire(`${directory}/`)("cloudevents");
const headers = { "content-type": "application/cloudevents+json; charset=UTF-8", "admin-ext-position": "x" };

function read(line) {
    const expected = JSON.parse(line);
    const event = Kafka.toEvent({ headers, key: "key", value: Buffer.from(line), body: line });
    event.validate();
    new CloudEvent(expected, true);
    if (event.id !== expected.id || event.source !== expected.source || event.auditid !== expected.auditid)
        throw new Error("other source, id or auditid");
    if (!isDeepStrictEqual(event.data ?? null, expected.data ?? null))
        throw new Error("other data");
}

for (const line of readFileSync(file, "utf8").replace(/\n$/, "").split("\n")) {
    try {
        read(line);
        console.log("ok");
    } catch (error) {
        console.log(`${error.name}: ${error.message} ${JSON.stringify(error.errors ?? "")}`.replace(/\s+/g, " "));
    }
}
