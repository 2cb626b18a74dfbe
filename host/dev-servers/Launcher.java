import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import java.util.List;
import org.h2.mvstore.MVStore;

/** Starts mongo-java-server on the loopback interface with a durable file. Arguments: port, file. */
public final class Launcher {
    /** The driver refuses a server below wire version 9; the library's own list names 4.0 and 5.0 only. */
    private enum Version implements MongoVersion {
        MONGO_4_4;

        @Override
        public List<Integer> getVersionArray() {
            return List.of(4, 4, 0);
        }

        @Override
        public int getWireVersion() {
            return 9;
        }
    }

    /** How long an acknowledged write may stay in memory only; the store's own default is 1000. */
    private static final int COMMIT_DELAY_MS = 20;

    public static void main(String[] arguments) {
        int port = Integer.parseInt(arguments[0]);
        MVStore store = new MVStore.Builder().fileName(arguments[1]).open();
        store.setAutoCommitDelay(COMMIT_DELAY_MS);
        H2Backend backend = new H2Backend(store);
        backend.version(Version.MONGO_4_4);
        MongoServer server = new MongoServer(backend);
        // The server closes its backend, and that the store.
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind("127.0.0.1", port);
        System.out.println("listening on port " + port);
    }
}
