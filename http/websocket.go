package http

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
)

// websocketGUID is from RFC 6455 §1.3.
const websocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// checkWebsocket returns what is wrong with a request for a WebSocket, RFC 6455 §4.2.1.
// Extensions and protocols are a matter of the other server.
func checkWebsocket(r *http.Request) (problem string) {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return "websockets need http/1.1"
	case r.Method != http.MethodGet:
		return "websockets begin with a request with method get"
	case r.ContentLength != 0:
		return "a request for a websocket has no body"
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return "version of websockets must be 13"
	case err != nil || len(key) != 16:
		return "key of websocket must have 16 bytes"
	}
	return ""
}

// checkAccept checks that the other server has understood the request, RFC 6455 §4.1: one
// that does not know what it agrees to can be made to say what it should not.
func checkAccept(r *http.Request, res *http.Response) error {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + websocketGUID))
	if res.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]) {
		return errors.New("answer of server to request for websocket is for another key")
	}
	return nil
}
