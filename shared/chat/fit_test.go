package chat

import (
	"fmt"
	"testing"
)

// A page of six items, of which two fit into one and a half of them into a half: which
// are left out depends on where it begins.
func TestFit(t *testing.T) {
	const n = 6
	for _, tt := range []struct {
		name          string
		cursor        Cursor
		newest        end
		anchor        int
		want          string
		before, after bool
	}{
		{"the newest of a list that ends with them", Cursor{}, last, -1, "[4 5]", true, false},
		{"the newest of a list that begins with them", Cursor{}, first, -1, "[0 1]", false, true},
		{"before a cursor", Cursor{Before: "x"}, first, -1, "[4 5]", true, false},
		{"before a cursor, the newest last", Cursor{Before: "x"}, last, -1, "[4 5]", true, false},
		{"after a cursor", Cursor{After: "x"}, last, -1, "[0 1]", false, true},
		{"after a cursor, the newest first", Cursor{After: "x"}, first, -1, "[0 1]", false, true},
		{"around an anchor", Cursor{Anchor: "x"}, last, 3, "[3 4]", true, true},
		{"around the first", Cursor{Anchor: "x"}, first, 0, "[0 1]", false, true},
		{"around the last", Cursor{Anchor: "x"}, first, 5, "[5]", true, false},
		{"around one that is not there", Cursor{Anchor: "x"}, last, -1, "[0 1]", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := Page{}
			opened := 0
			items, err := fit(&p, n, tt.cursor, tt.newest, tt.anchor, func(i int) (int, int, error) {
				opened++
				return i, MaxPageBytes / 2, nil
			})
			if got := fmt.Sprint(items); err != nil || got != tt.want {
				t.Errorf("fit() = %s, %v, want %s", got, err, tt.want)
			}
			if p.HasBefore != tt.before || p.HasAfter != tt.after {
				t.Errorf("more before: %t, after: %t, want %t and %t", p.HasBefore, p.HasAfter, tt.before, tt.after)
			}
			if opened > 4 {
				t.Errorf("%d items were opened", opened)
			}
		})
	}
	t.Run("an empty page", func(t *testing.T) {
		items, err := fit(&Page{}, 0, Cursor{Anchor: "x"}, last, -1, func(int) (int, int, error) { panic("there is none") })
		if len(items) != 0 || err != nil {
			t.Errorf("fit() = %v, %v, want nothing", items, err)
		}
	})
}
