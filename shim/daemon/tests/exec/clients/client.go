// A program that knows of no proxy: HTTP by name, and a datagram by name.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	name, web, udp := os.Args[1], os.Args[2], os.Args[3]
	client := http.Client{Timeout: 30 * time.Second}
	answer, err := client.Get("http://" + net.JoinHostPort(name, web) + "/")
	fail(err)
	body, err := io.ReadAll(answer.Body)
	fail(err)
	socket, err := net.Dial("udp", net.JoinHostPort(name, udp))
	fail(err)
	buffer := make([]byte, 64)
	for attempt := 0; attempt < 30; attempt++ {
		_, err = socket.Write([]byte("ping"))
		fail(err)
		fail(socket.SetReadDeadline(time.Now().Add(time.Second)))
		count, err := socket.Read(buffer)
		if err == nil {
			fmt.Printf("%s %s\n", body, buffer[:count])
			return
		}
	}
	fail(fmt.Errorf("no answer to a datagram"))
}
