package blob

import "testing"

// Uploads counts the multipart uploads that go on.
func Uploads(t *testing.T, s *S3) int {
	t.Helper()
	page, err := s.client.ListMultipartUploads(t.Context(), s.bucket, s.prefix, "", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Uploads)
}
