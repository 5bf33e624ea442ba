// Command fetch pulls an image with the code of Istio's agent, and prints whether a gateway would load it.
// Arguments: HOST/REPOSITORY:TAG, whether WASM_INSECURE_REGISTRIES has the host (true or false), and the
// file of an imagePullSecret if there is one. tests/istio/setup builds it inside Istio's module.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"istio.io/istio/pkg/wasm"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: fetch IMAGE INSECURE [SECRET]")
		os.Exit(2)
	}
	option := wasm.ImageFetcherOption{Insecure: os.Args[2] == "true"}
	if len(os.Args) > 3 {
		secret, err := os.ReadFile(os.Args[3])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		option.PullSecret = secret
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	fetch, digest, err := wasm.NewImageFetcher(ctx, option).PrepareFetch(os.Args[1])
	if err == nil {
		_, err = fetch()
	}
	if err != nil {
		fmt.Println("fails:", strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Println("loads:", digest)
}
