package sasl

import "testing"

// The messages are the examples of RFC 7628 §4.1, and of Google's description of XOAUTH2.
func TestBearerClients(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		c    Client
		want string
	}{
		{NewOAuthBearerClient("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "server.example.com", 143),
			"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"},
		{NewOAuthBearerClient("a,b=c", "t", "h", 993), "n,a=a=2Cb=3Dc,\x01host=h\x01port=993\x01auth=Bearer t\x01\x01"},
		{NewXOAuth2Client("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"),
			"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01"},
	} {
		got, last, err := tc.c.Next(nil)
		if err != nil || !last || string(got) != tc.want {
			t.Errorf("got %q, %v, %v, want %q", got, last, err, tc.want)
		}
		if _, _, err := tc.c.Next([]byte(`{"status":"invalid_token"}`)); err == nil {
			t.Error("a challenge after the token is no error")
		}
	}
	for _, token := range []string{"a\x00", "a\r\nb"} {
		if _, _, err := NewXOAuth2Client("u", token).Next(nil); err == nil {
			t.Errorf("token %q is no error", token)
		}
	}
}
