package registry

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"
)

// IssueToken stores a token and returns its text, which cannot be had again. The token's kind, holder and scopes are
// set by the caller.
func (r *Registry) IssueToken(ctx context.Context, token *Token) (text string, err error) {
	text = NewTokenText(token.Kind)
	return text, r.Store.Write(ctx, func(tx Tx) error { return issue(tx, token, text) })
}

func issue(tx Tx, token *Token, text string) error {
	token.Hash = HashToken(text)
	if err := tx.CreateToken(token); err != nil {
		return err
	}
	return recordToken(tx, TokenCreated, token, token.Terms())
}

func recordToken(tx Tx, name string, token *Token, detail string) error {
	e := &Event{Name: name, ProjectID: token.ProjectID, GroupID: token.GroupID, Target: token.Title(), Detail: detail}
	if token.ProjectID == 0 && token.GroupID == 0 {
		e.OfUserID = token.UserID
	}
	return tx.Record(e)
}

// IssueBotToken makes the token of a project or group: that of a bot, which is made with it and is a member there, of
// the token's level and as long as it. The token's kind, place, name, scopes, level and end are set by the caller.
// The bot is external when its maker is.
func (r *Registry) IssueBotToken(ctx context.Context, token *Token, external bool) (text string, err error) {
	text = NewTokenText(ResourceToken)
	place, id := "project", token.ProjectID
	if token.GroupID != 0 {
		place, id = "group", token.GroupID
	}
	bot := &User{Username: fmt.Sprintf("%s_%d_bot_%s", place, id, strings.ToLower(rand.Text())), Name: token.Name, Bot: true, External: external}
	return text, r.Store.Write(ctx, func(tx Tx) error {
		if err := tx.CreateUser(bot); err != nil {
			return err
		}
		err := tx.CreateMember(&Member{UserID: bot.ID, GroupID: token.GroupID, ProjectID: token.ProjectID, Level: token.Level, ExpiresAt: token.ExpiresAt})
		if err != nil {
			return err
		}
		token.UserID = bot.ID
		return issue(tx, token, text)
	})
}

// Revoke ends a token, within a transaction. With the token of a project or group its bot ends too.
func Revoke(tx Tx, token *Token) error {
	if err := tx.RevokeToken(token.ID); err != nil {
		return err
	}
	if err := endBot(tx, token); err != nil {
		return err
	}
	return recordToken(tx, TokenRevoked, token, "")
}

func endBot(tx Tx, token *Token) error {
	if token.Kind != ResourceToken {
		return nil
	}
	// A token of the line that was rotated away is not the one by which the bot lives.
	active, err := tx.Tokens(TokenFilter{UserID: token.UserID, Active: true})
	if err != nil || len(active) > 0 {
		return err
	}
	err = tx.DeleteMember(&Member{UserID: token.UserID, GroupID: token.GroupID, ProjectID: token.ProjectID})
	if err != nil && KindOf(err) != NotFound {
		return err
	}
	bot, err := tx.User(token.UserID)
	if err != nil {
		return err
	}
	bot.State = Blocked
	return tx.UpdateUser(bot)
}

// RotateToken puts a new token in the place of one, which ends, and returns it and its text. Of any number of
// rotations of one token at once, one wins; the others get NotFound, as do those of a token that has ended.
func (r *Registry) RotateToken(ctx context.Context, id int64, expires time.Time) (token *Token, text string, err error) {
	err = r.Store.Write(ctx, func(tx Tx) error {
		old, err := tx.Token(id)
		if err != nil {
			return err
		}
		if err := tx.TakeToken(id); err != nil {
			return err
		}
		if !old.Active(time.Now()) {
			return Errorf(NotFound, "404 Not found")
		}
		fresh := *old
		if fresh.FamilyID == 0 {
			fresh.FamilyID = old.ID
		}
		fresh.Revoked, fresh.ExpiresAt, fresh.LastUsedAt = false, expires, time.Time{}
		token, text = &fresh, NewTokenText(old.Kind)
		token.Hash = HashToken(text)
		if err := tx.CreateToken(token); err != nil {
			return err
		}
		if token.Kind == ResourceToken {
			err := tx.UpdateMember(&Member{UserID: token.UserID, GroupID: token.GroupID, ProjectID: token.ProjectID, Level: token.Level, ExpiresAt: expires})
			if err != nil {
				return err
			}
		}
		return recordToken(tx, TokenRotated, token, token.Terms())
	})
	return token, text, err
}

// RevokeFamily ends the whole line of tokens that a token belongs to. One that was rotated away and is shown again has
// been in two hands, and nobody knows whose the newest one is.
func (r *Registry) RevokeFamily(ctx context.Context, token *Token) error {
	err := r.Store.Write(ctx, func(tx Tx) error {
		if err := tx.RevokeFamily(token); err != nil {
			return err
		}
		if err := endBot(tx, token); err != nil {
			return err
		}
		return recordToken(tx, TokenRevoked, token, "with all that it was rotated into: it was shown again after it had been revoked")
	})
	if KindOf(err) == NotFound { // the line has ended: whoever shows it again and again writes nothing
		err = nil
	}
	return err
}

// JobToken makes the token of a CI job and the pipeline that what it publishes belongs to.
func (r *Registry) JobToken(ctx context.Context, pipeline *Pipeline, expires time.Time) (text string, err error) {
	text = NewTokenText(JobToken)
	err = r.Store.Write(ctx, func(tx Tx) error {
		if err := tx.CreatePipeline(pipeline); err != nil {
			return err
		}
		return tx.CreateToken(&Token{Kind: JobToken, Name: "job", UserID: pipeline.UserID, ProjectID: pipeline.ProjectID, PipelineID: pipeline.ID,
			Hash: HashToken(text), ExpiresAt: expires})
	})
	return text, err
}
