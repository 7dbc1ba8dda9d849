// Command conformance runs the suite against a broker that is there.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/leveret-mq/leveret/conformance"
)

func main() {
	url := flag.String("url", "amqp://guest:guest@127.0.0.1:5672/", "the broker")
	http := flag.String("http", "", "its management API, http://user:password@host:port; without it some cases are not run")
	run := flag.String("run", "", "only cases whose behaviour/name matches this regular expression")
	parallel := flag.Int("parallel", 0, "cases at a time")
	flag.Parse()
	pattern, err := regexp.Compile(*run)
	if err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "conformance:", err, strings.Join(flag.Args(), " "))
		os.Exit(2)
	}
	suite := &conformance.Suite{Main: &conformance.Peer{URL: *url, HTTP: *http}, Parallel: *parallel}
	if err := suite.Main.Prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
	fmt.Printf("%s %s at %s\n\n", suite.Main.Kind, suite.Main.Version, *url)

	var cases []conformance.Case
	for _, c := range conformance.Cases() {
		if pattern.MatchString(c.ID()) {
			cases = append(cases, c)
		}
	}
	results := make([]conformance.Result, len(cases))
	var wg sync.WaitGroup
	for i, c := range cases {
		wg.Go(func() { results[i] = suite.Run(c) })
	}
	wg.Wait()

	count := map[conformance.Status]int{}
	byDesign := 0
	for _, r := range results {
		count[r.Status]++
		text := ""
		switch {
		case r.Status == conformance.Failed && r.Case.Plus != "" && suite.Main.Kind != conformance.Leveret:
			byDesign++
			text = ", by design: " + r.Case.Plus
		case r.Text != "":
			text = ": " + strings.ReplaceAll(r.Text, "\n", "\n         ")
		}
		fmt.Printf("%-8s %-4s %s%s\n", r.Status, r.Case.Behaviour, r.Case.Name, text)
	}
	fmt.Printf("\n%d passed, %d failed (%d of them by design), %d not run\n",
		count[conformance.Passed], count[conformance.Failed], byDesign, count[conformance.NotRun])
	if count[conformance.Failed] > byDesign {
		os.Exit(1)
	}
}
