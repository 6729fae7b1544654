// Java's HttpClient, which offers to upgrade to h2c with every first request: java Client.java BASE KEY
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;

public class Client {
    static String base;
    static String key;

    static HttpRequest.Builder to(String target) {
        return HttpRequest.newBuilder(URI.create(base + target))
            .timeout(Duration.ofSeconds(30)).header("Authorization", "Bearer " + key);
    }

    static void is(Object expected, Object got) {
        if (!expected.equals(got)) throw new AssertionError("expected " + expected + ", got " + got);
    }

    static HttpClient fresh() {
        return HttpClient.newBuilder().version(HttpClient.Version.HTTP_2).build();
    }

    public static void main(String[] words) throws Exception {
        base = words[0];
        key = words[1];
        HttpClient client = fresh();
        HttpResponse<String> got = client.send(to("/v2/employees?a=1").build(), BodyHandlers.ofString());
        is(200, got.statusCode());
        is("{\"method\":\"GET\",\"target\":\"/v2/employees?a=1\",\"size\":0}", got.body());

        // the offer comes with a body, too
        HttpRequest post = to("/v1/vendors:search").POST(BodyPublishers.ofByteArray(new byte[100_000])).build();
        for (HttpClient each : new HttpClient[] {client, fresh()}) {
            HttpResponse<String> posted = each.send(post, BodyHandlers.ofString());
            is("{\"method\":\"POST\",\"target\":\"/v1/vendors:search\",\"size\":100000}", posted.body());
        }

        HttpResponse<String> refused = client.send(to("/v9/nothing").build(), BodyHandlers.ofString());
        is(403, refused.statusCode());
        is("route-denied", refused.headers().firstValue("Pleo-Gateway-Error").orElse("none"));
        is(404, client.send(to("/v2/employees/404").build(), BodyHandlers.ofString()).statusCode());

        var calls = IntStream.range(0, 40)
            .mapToObj(n -> client.sendAsync(to("/v2/employees?n=" + n).build(), BodyHandlers.ofString()))
            .toList();
        CompletableFuture.allOf(calls.toArray(CompletableFuture[]::new)).get();
        for (int n = 0; n < 40; n++) {
            is("{\"method\":\"GET\",\"target\":\"/v2/employees?n=" + n + "\",\"size\":0}", calls.get(n).get().body());
        }
        System.out.println("ok");
    }
}
