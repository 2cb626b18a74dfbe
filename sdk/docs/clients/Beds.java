import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.ToNumberPolicy;
import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/**
 * A client of BEDS in one file, to be copied. It needs com.rabbitmq:amqp-client 5 and com.google.code.gson:gson, and is safe for many threads.
 *
 * <pre>{@code
 * try (Beds beds = new Beds("amqp://localhost", "shop")) {
 *   JsonObject reply = beds.request("cities", "count", Map.of("payload", Map.of("country", "CH")), 2_000);
 *   beds.fetchAll("cities", Map.of("limit", 500), rows -> System.out.println(rows));
 * }
 * }</pre>
 */
public final class Beds implements AutoCloseable {
  /** `code` is one of ERRORS.md. `retryable`: the same request may be sent again, after a pause, and does no harm. */
  public static final class BedsException extends Exception {
    public final String code;
    public final boolean retryable;
    /** Null where the reply did not name one; `problems` in `error` has all that is wrong. */
    public final String field;
    public final JsonObject error;

    BedsException(String code, String message, boolean retryable, JsonObject error) {
      super(code + ": " + message);
      this.code = code;
      this.retryable = retryable;
      this.error = error;
      this.field = error != null && error.has("field") ? error.get("field").getAsString() : null;
    }
  }

  private static final class Lost extends Exception {}

  // In a record and in a filter null is a value. Whole numbers beyond 2^53 are passed as text: Long.toString(id).
  private static final Gson JSON =
      new GsonBuilder().serializeNulls().setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE).create();

  private final ConnectionFactory factory = new ConnectionFactory();
  private final String name;
  private final String exchange;
  private final Map<String, CompletableFuture<JsonObject>> waiting = new ConcurrentHashMap<>();
  private final Set<String> repeatable = ConcurrentHashMap.newKeySet();
  private Channel channel;

  public Beds(String url, String name) throws Exception {
    this(url, name, "beds.request");
  }

  public Beds(String url, String name, String exchange) throws Exception {
    this.name = name;
    this.exchange = exchange;
    factory.setUri(url);
    factory.setConnectionTimeout(5_000);
    // Its own recovery does not know that a direct reply is lost with the connection.
    factory.setAutomaticRecoveryEnabled(false);
  }

  /** The whole reply of a request that was carried out. `members`: payload, query, key. */
  public JsonObject request(String domain, String op, Map<String, ?> members, long deadlineMs)
      throws BedsException, InterruptedException {
    String id = UUID.randomUUID().toString();
    Map<String, Object> envelope = new LinkedHashMap<>(Map.of("v", 1, "id", id, "domain", domain, "op", op));
    members.forEach((member, value) -> {
      if (value != null) envelope.put(member, value);
    });
    envelope.put("meta", Map.of("client", name, "deadlineMs", deadlineMs, "sentAt", System.currentTimeMillis()));
    byte[] body = JSON.toJson(envelope).getBytes(StandardCharsets.UTF_8);
    String target = domain + "." + op;
    long until = System.nanoTime() + deadlineMs * 1_000_000;
    while (true) {
      boolean wasSent = false;
      try {
        Channel open = connected();
        wasSent = true;
        JsonObject reply = ask(open, id, target, body, until);
        // What may be sent again after a lost connection the domain says itself.
        JsonObject by = reply.getAsJsonObject("by");
        if (by.has("mode") && !by.get("mode").getAsString().equals("write")) repeatable.add(target);
        if (reply.get("ok").getAsBoolean()) return reply;
        JsonObject error = reply.getAsJsonObject("error");
        throw new BedsException(error.get("code").getAsString(), error.get("message").getAsString(),
            error.get("retryable").getAsBoolean(), error);
      } catch (TimeoutException late) {
        throw new BedsException("CLIENT_TIMEOUT", "No reply came; whether it was carried out is not known.", false, null);
      } catch (BedsException refused) {
        throw refused;
      } catch (InterruptedException interrupted) {
        throw interrupted;
      } catch (Exception lost) {
        if (wasSent && !op.equals("fetch") && !repeatable.contains(target)) {
          throw new BedsException("CLIENT_INDETERMINATE", "The connection was lost; read before you repeat.", false, null);
        }
        if (System.nanoTime() >= until) {
          throw new BedsException("CLIENT_UNAVAILABLE", "RabbitMQ cannot be reached: " + lost.getMessage(), true, null);
        }
        Thread.sleep(200);
      }
    }
  }

  /** Gives each page of rows, a JSON array, to `use`. */
  public void fetchAll(String domain, Map<String, ?> query, Consumer<com.google.gson.JsonArray> use)
      throws BedsException, InterruptedException {
    Map<String, Object> page = new HashMap<>(query);
    while (true) {
      JsonObject reply = request(domain, "fetch", Map.of("query", page), 10_000);
      use.accept(reply.getAsJsonArray("data"));
      JsonObject next = reply.getAsJsonObject("page");
      if (next == null || !next.has("cursor")) return;
      page.put("cursor", next.get("cursor").getAsString());
    }
  }

  private JsonObject ask(Channel open, String id, String target, byte[] body, long until) throws Exception {
    CompletableFuture<JsonObject> answer = new CompletableFuture<>();
    waiting.put(id, answer);
    try {
      long leftMs = Math.max(1, (until - System.nanoTime()) / 1_000_000);
      AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
          .contentType("application/json").replyTo("amq.rabbitmq.reply-to").correlationId(id)
          .deliveryMode(2).expiration(Long.toString(leftMs)).build();
      synchronized (open) {
        open.basicPublish(exchange, target, true, properties, body);
      }
      // A timer of its own, always; a little later than the deadline, to hear why it was late.
      return answer.get(leftMs + 250, TimeUnit.MILLISECONDS);
    } catch (ExecutionException failed) {
      throw (Exception) failed.getCause();
    } finally {
      waiting.remove(id);
    }
  }

  private synchronized Channel connected() throws Exception {
    if (channel != null && channel.isOpen()) return channel;
    Connection connection = factory.newConnection(name);
    Channel opened = connection.createChannel();
    opened.exchangeDeclarePassive(exchange);
    // Direct reply-to: consumed first, without acknowledgements, on the channel that publishes.
    opened.basicConsume("amq.rabbitmq.reply-to", true, (tag, message) -> {
      String text = new String(message.getBody(), StandardCharsets.UTF_8);
      CompletableFuture<JsonObject> answer = waiting.get(message.getProperties().getCorrelationId());
      if (answer != null) answer.complete(JSON.fromJson(text, JsonObject.class));
    }, tag -> {});
    opened.addReturnListener(back -> {
      CompletableFuture<JsonObject> answer = waiting.get(back.getProperties().getCorrelationId());
      String message = "RabbitMQ has no queue for " + back.getRoutingKey();
      if (answer != null) answer.completeExceptionally(new BedsException("CLIENT_UNROUTABLE", message, false, null));
    });
    // All that waits fails at once: a direct reply cannot come any more.
    opened.addShutdownListener(cause -> List.copyOf(waiting.values()).forEach(each -> each.completeExceptionally(new Lost())));
    channel = opened;
    return opened;
  }

  @Override
  public synchronized void close() throws Exception {
    if (channel != null) channel.getConnection().close();
  }
}
