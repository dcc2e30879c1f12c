// SPDX-License-Identifier: Apache-2.0
// A Java client of the interop tests: sends BYTES of a pattern through the door to an echo and verifies what comes back.
// usage: java [-Djava.security.properties=FILE] -cp DIR Echo HOST PORT KEYSTORE TRUSTSTORE PASSWORD BYTES
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.KeyStore;
import java.util.Random;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public final class Echo {
    private static final int PERIOD = 8191;

    private static byte at(long offset) {
        return (byte) ((offset % PERIOD) * 31 + 7);
    }

    private static KeyStore load(String file, char[] password) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = new FileInputStream(file)) {
            store.load(in, password);
        }
        return store;
    }

    public static void main(String[] args) throws Exception {
        char[] password = args[4].toCharArray();
        long total = Long.parseLong(args[5]);
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(load(args[2], password), password);
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(load(args[3], password));
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(args[0], Integer.parseInt(args[1]))) {
            socket.setSoTimeout(240000);
            socket.startHandshake();
            Thread writer = new Thread(() -> {
                try {
                    OutputStream out = socket.getOutputStream();
                    Random random = new Random(1);
                    byte[] chunk = new byte[65536];
                    for (long sent = 0; sent < total;) {
                        int n = (int) Math.min(1 + random.nextInt(chunk.length), total - sent);
                        for (int i = 0; i < n; i++) {
                            chunk[i] = at(sent + i);
                        }
                        out.write(chunk, 0, n);
                        sent += n;
                    }
                } catch (Exception e) {
                    e.printStackTrace();
                }
            });
            writer.start();
            InputStream in = socket.getInputStream();
            byte[] chunk = new byte[30000];
            for (long got = 0; got < total;) {
                int n = in.read(chunk);
                if (n < 0) {
                    throw new IllegalStateException("end after " + got + " bytes");
                }
                for (int i = 0; i < n; i++) {
                    if (chunk[i] != at(got + i)) {
                        throw new IllegalStateException("wrong byte at " + (got + i));
                    }
                }
                got += n;
            }
            writer.join();
            System.out.println("verified " + total + " " + socket.getSession().getProtocol() + " "
                + socket.getSession().getCipherSuite());
        }
    }
}
