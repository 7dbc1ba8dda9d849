package bench

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"testing"
)

func TestDocumentsAreJSONOfTheirSize(t *testing.T) {
	for _, size := range []int{100, 110, 300, 512, 600, 700, 1024, 4096, 16384} {
		docs, again := NewDocuments(7, size), NewDocuments(7, size)
		seen := map[string]bool{}
		for i := range 200 {
			doc := docs.Next()
			if len(doc) != size || !json.Valid(doc) {
				t.Fatalf("document %d of %d bytes has %d: %s", i, size, len(doc), doc)
			}
			if seen[string(doc)] {
				t.Fatalf("document %d is there twice: %s", i, doc)
			}
			seen[string(doc)] = true
			if !bytes.Equal(doc, again.Next()) {
				t.Fatal("the same seed makes other documents")
			}
		}
	}
}

// TestDocumentsCompressAsRealOnesDo: neither noise nor one document over and over.
func TestDocumentsCompressAsRealOnesDo(t *testing.T) {
	docs := NewDocuments(1, 1024)
	var in, out bytes.Buffer
	for in.Len() < 64<<10 {
		in.Write(docs.Next())
	}
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(in.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if share := float64(out.Len()) / float64(in.Len()); share < 0.2 || share > 0.5 {
		t.Errorf("64 KiB of documents compress to %.0f %%", 100*share)
	} else {
		t.Logf("64 KiB of documents compress to %.0f %%", 100*share)
	}
}

func TestFlowOfDocumentsArrivesWhole(t *testing.T) {
	null, err := ListenNull(NullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	const n = 5000
	res, err := Run(t.Context(), Config{URI: null.URI(), Size: 1024, Content: JSON, Messages: n})
	if err != nil {
		t.Fatal(err)
	}
	if res.Consumed != n || res.Disordered != 0 {
		t.Errorf("%d consumed, %d out of order", res.Consumed, res.Disordered)
	}
}
