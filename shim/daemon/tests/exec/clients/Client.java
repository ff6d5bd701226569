// A program that knows of no proxy: HTTP by name, and a datagram by name.
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.URLConnection;

public class Client {
    public static void main(String[] arguments) throws Exception {
        String name = arguments[0];
        int web = Integer.parseInt(arguments[1]), udp = Integer.parseInt(arguments[2]);
        URLConnection connection = URI.create("http://" + name + ":" + web + "/").toURL().openConnection();
        connection.setConnectTimeout(30_000);
        connection.setReadTimeout(30_000);
        String body = new String(connection.getInputStream().readAllBytes());
        try (DatagramSocket socket = new DatagramSocket()) {
            socket.setSoTimeout(1000);
            socket.connect(InetAddress.getByName(name), udp);
            DatagramPacket answer = new DatagramPacket(new byte[64], 64);
            for (int attempt = 0; attempt < 30; attempt++) {
                socket.send(new DatagramPacket("ping".getBytes(), 4));
                try {
                    socket.receive(answer);
                    System.out.println(body.trim() + " " + new String(answer.getData(), 0, answer.getLength()));
                    return;
                } catch (SocketTimeoutException again) {
                    // It is lost, as datagrams may be.
                }
            }
        }
        throw new Exception("no answer to a datagram");
    }
}
