import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Writes a Java truststore that holds the JDK's own authorities and every certificate of a PEM file.
 * Used during the image build only; the truststore lies on a tmpfs and never reaches a layer.
 */
public class PemToTruststore {
    private static final Pattern PEM =
        Pattern.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", Pattern.DOTALL);

    public static void main(String[] args) throws Exception {
        KeyStore store = KeyStore.getInstance("JKS");
        store.load(null, null);
        Path home = Paths.get(System.getProperty("java.home"));
        for (String own : new String[] {"lib/security/cacerts", "jre/lib/security/cacerts"}) {
            if (Files.isReadable(home.resolve(own))) {
                try (InputStream in = new FileInputStream(home.resolve(own).toFile())) {
                    store.load(in, null);
                }
                break;
            }
        }
        CertificateFactory x509 = CertificateFactory.getInstance("X.509");
        String text = new String(Files.readAllBytes(Paths.get(args[0])), StandardCharsets.ISO_8859_1);
        Matcher each = PEM.matcher(text);
        int taken = 0;
        while (each.find()) {
            try {
                Certificate one = x509.generateCertificate(
                    new ByteArrayInputStream(each.group().getBytes(StandardCharsets.ISO_8859_1)));
                store.setCertificateEntry("rmqkit-" + taken++, one);
            } catch (CertificateException unreadable) {
                // One odd certificate of a bundle of hundreds must not stop a build that does not need it.
                System.err.println("[rmqkit] skipped a certificate that Java cannot read: " + unreadable.getMessage());
            }
        }
        try (OutputStream out = new FileOutputStream(args[1])) {
            store.store(out, "changeit".toCharArray());
        }
        System.out.println("[rmqkit] trusting the JDK's authorities and " + taken + " of the given bundle");
    }
}
