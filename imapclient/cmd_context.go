package imapclient

import (
	"context"
	"errors"
	"slices"

	"mox/imap"
	"mox/imap/wire"
)

// A ContextUpdate is a change of the result of a search with [imap.SearchReturn.Update]:
// ADDTO or REMOVEFROM of an ESEARCH response. RFC 5267 §4.3
type ContextUpdate struct {
	Remove   bool
	Position uint32 // Of the first number in the result, from 1 on. 0 for a result that ascends.
	Nums     imap.NumSet
}

// CancelUpdate ends updates of the results of searches, by their tags: that of
// [SearchResult.Tag]. RFC 5267 §4.3.5
func (c *Client) CancelUpdate(ctx context.Context, tags ...string) (*Response, error) {
	return c.do(ctx, "CANCELUPDATE", func(e *wire.Encoder) {
		for _, tag := range tags {
			e.SP()
			e.String(tag)
		}
	})
}

// errUpdate is for an update that does not fit the result that it is about.
var errUpdate = errors.New("update does not fit the result")

// Update changes a list of numbers as a response says. After an error the list is of no use.
func (s *ESearch) Update(list []uint32) ([]uint32, error) {
	for _, u := range s.Updates {
		nums := numbers(u.Nums)
		at := int(u.Position) - 1
		switch {
		case at > len(list) || len(list)+len(nums) > maxSearchNums:
			return nil, errUpdate
		case u.Position == 0 && u.Remove:
			gone := imap.NewRanges(nums...)
			list = slices.DeleteFunc(list, gone.Contains)
		case u.Position == 0:
			list = append(list, nums...)
			slices.Sort(list)
		case u.Remove:
			if at+len(nums) > len(list) || !slices.Equal(list[at:at+len(nums)], nums) {
				return nil, errUpdate
			}
			list = slices.Delete(list, at, at+len(nums))
		default:
			list = slices.Insert(list, at, nums...)
		}
	}
	return list, nil
}

// contextUpdates parses what follows ADDTO or REMOVEFROM.
//
//	SP "(" context-position SP sequence-set *(SP context-position SP sequence-set) ")"
func (p *parser) contextUpdates(remove bool) (l []ContextUpdate) {
	p.NeedByte('(')
	for {
		u := ContextUpdate{Remove: remove, Position: p.NeedNumber()}
		p.NeedSP()
		u.Nums = p.NeedStaticSet()
		l = append(l, u)
		if !p.TrySP() {
			break
		}
	}
	p.NeedByte(')')
	return l
}
