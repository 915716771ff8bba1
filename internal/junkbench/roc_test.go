package junkbench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A result is what a filter thought of a message.
type result struct {
	score float64
	junk  bool // Its own decision.
	spam  bool // The truth.
}

// roc returns for each number of ham lost how many spams are caught at most. Of messages
// with one score, ham is taken to come first.
func roc(l []result) (caught []int, ham, spam int) {
	l = slices.Clone(l)
	slices.SortFunc(l, func(a, b result) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(truth(a), truth(b)))
	})
	n := 0
	for _, r := range l {
		if r.spam {
			n++
			spam++
		} else {
			ham++
			caught = append(caught, n)
		}
	}
	return append(caught, n), ham, spam
}

func truth(r result) int {
	if r.spam {
		return 1
	}
	return 0
}

// at returns the share of spam caught where at most permille of 1000 ham are lost.
func at(l []result, permille float64) float64 {
	caught, ham, spam := roc(l)
	return float64(caught[int(permille*float64(ham)/1000)]) / float64(spam)
}

// decision returns what a filter's own decisions lose and catch.
func decision(l []result) (lost, ham, caught, spam int) {
	for _, r := range l {
		count(r.spam, &ham, &spam)
		if r.junk {
			count(r.spam, &lost, &caught)
		}
	}
	return lost, ham, caught, spam
}

func decisionText(l []result) string {
	lost, ham, caught, spam := decision(l)
	return fmt.Sprintf("own decision: %d of %d ham lost (%.2f in 1000), %d of %d spam caught (%.1f%%)",
		lost, ham, 1000*float64(lost)/float64(ham), caught, spam, 100*float64(caught)/float64(spam))
}

// auc returns the area above the ROC curve in percent: zero is perfect.
func auc(l []result) float64 {
	caught, ham, spam := roc(l)
	missed := 0
	for _, n := range caught[:ham] {
		missed += spam - n
	}
	return 100 * float64(missed) / float64(ham) / float64(spam)
}

// printROC prints the whole curves, each point at which one of them changes, and
// returns at how many points the first is behind the second, and at how many even.
func printROC(w io.Writer, names []string, results ...[]result) (behind, even int) {
	var curves [][]int
	_, ham, spam := roc(results[0])
	for _, l := range results {
		c, _, _ := roc(l)
		curves = append(curves, c)
	}
	fmt.Fprintf(w, "%10s %10s", "ham lost", "in 1000")
	for _, n := range names {
		fmt.Fprintf(w, " %16s", n)
	}
	fmt.Fprintln(w)
	last := ""
	for k := range ham + 1 {
		var row strings.Builder
		for _, c := range curves {
			fmt.Fprintf(&row, " %7d %7.2f%%", c[k], 100*float64(c[k])/float64(spam))
		}
		if s := row.String(); s != last {
			fmt.Fprintf(w, "%10d %10.2f%s\n", k, 1000*float64(k)/float64(ham), s)
			last = s
		}
		if len(curves) > 1 && curves[0][k] < spam {
			switch {
			case curves[0][k] < curves[1][k]:
				behind++
			case curves[0][k] == curves[1][k]:
				even++
			}
		}
	}
	return behind, even
}
