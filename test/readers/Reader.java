/* Reads each document of a file by the CloudEvents SDK, as a Kafka consumer does; a line for each: ok, or why not. */

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.provider.EventFormatProvider;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventDeserializer;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;

public class Reader {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final CloudEventDeserializer DESERIALIZER = new CloudEventDeserializer();

    private static Headers headers() {
        Headers headers = new RecordHeaders();
        headers.add("content-type", "application/cloudevents+json; charset=UTF-8".getBytes(StandardCharsets.UTF_8));
        headers.add("admin-ext-position", "x".getBytes(StandardCharsets.UTF_8));
        return headers;
    }

    private static void read(String line) throws Exception {
        byte[] document = line.getBytes(StandardCharsets.UTF_8);
        JsonNode expected = MAPPER.readTree(document);
        CloudEvent byFormat = EventFormatProvider.getInstance().resolveFormat(JsonFormat.CONTENT_TYPE).deserialize(document);
        CloudEvent event = DESERIALIZER.deserialize("topic", headers(), document);

        if (!event.equals(byFormat))
            throw new IllegalStateException("the consumer has another event than the format");
        for (String name : event.getAttributeNames())
            event.getAttribute(name);
        if (!event.getId().equals(expected.get("id").textValue()) || !event.getSource().toString().equals(expected.get("source").textValue()))
            throw new IllegalStateException("other source or id");
        if (event.getExtension("auditid") == null && expected.has("auditid"))
            throw new IllegalStateException("no auditid");
        if (event.getData() != null && !MAPPER.readTree(event.getData().toBytes()).equals(expected.get("data")))
            throw new IllegalStateException("other data");
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line : Files.readString(Path.of(arguments[0])).split("\n")) {
            try {
                read(line);
                out.println("ok");
            } catch (Throwable error) {
                out.println(String.valueOf(error).replaceAll("\\s+", " "));
            }
        }
        out.flush();
    }
}
