package clientconf

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// plistDict is a dictionary of a property list, with its order. Values are strings,
// numbers, booleans, dictionaries and lists of those.
type plistDict []plistEntry

type plistEntry struct {
	key   string
	value any
}

// marshalPlist returns a property list in XML.
func marshalPlist(d plistDict) ([]byte, error) {
	var b strings.Builder
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n<plist version=\"1.0\">\n")
	if err := writePlist(&b, "", d); err != nil {
		return nil, err
	}
	b.WriteString("</plist>\n")
	return []byte(b.String()), nil
}

func writePlist(b *strings.Builder, indent string, v any) error {
	switch v := v.(type) {
	case plistDict:
		b.WriteString(indent + "<dict>\n")
		for _, e := range v {
			b.WriteString(indent + "\t<key>" + e.key + "</key>\n")
			if err := writePlist(b, indent+"\t", e.value); err != nil {
				return err
			}
		}
		b.WriteString(indent + "</dict>\n")
	case []plistDict:
		b.WriteString(indent + "<array>\n")
		for _, d := range v {
			if err := writePlist(b, indent+"\t", d); err != nil {
				return err
			}
		}
		b.WriteString(indent + "</array>\n")
	case string:
		b.WriteString(indent + "<string>")
		if err := xml.EscapeText(b, []byte(v)); err != nil {
			return err
		}
		b.WriteString("</string>\n")
	case int:
		fmt.Fprintf(b, "%s<integer>%d</integer>\n", indent, v)
	case bool:
		fmt.Fprintf(b, "%s<%t/>\n", indent, v)
	default:
		return fmt.Errorf("no element of a property list for %T", v)
	}
	return nil
}
