// SPDX-License-Identifier: Apache-2.0
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.HexFormat;
import org.apache.kafka.common.security.ssl.SslPrincipalMapper;

/**
 * What a broker makes of names and certificates. Reads and writes as tests/unit/kafka/principal_check.c does: a line is
 * RULES tab KIND tab DATA, with KIND `name` (UTF-8) or `certificate` (DER), the others in hex; the answer is `ok` tab the
 * principal in hex, or `refused` tab why.
 */
public class PrincipalOracle {
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
        for (String line = in.readLine(); line != null; line = in.readLine())
            out.println(answer(line.split("\t", -1)));
        out.flush();
    }

    private static String answer(String[] fields) {
        try {
            String rules = text(HEX.parseHex(fields[0]));
            byte[] data = HEX.parseHex(fields[2]);
            String name = fields[1].equals("name") ? text(data) : subject(data);
            String principal = SslPrincipalMapper.fromRules(rules).getName(name);
            return "ok\t" + HEX.formatHex(principal.getBytes(StandardCharsets.UTF_8));
        } catch (Exception | StackOverflowError e) {
            return "refused\t" + e.toString().replaceAll("[^ -~]", "?");
        }
    }

    private static String subject(byte[] der) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        X509Certificate certificate = (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(der));
        return certificate.getSubjectX500Principal().getName();
    }

    private static String text(byte[] utf8) {
        return new String(utf8, StandardCharsets.UTF_8);
    }
}
