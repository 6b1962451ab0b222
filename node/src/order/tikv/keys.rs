//! The few calls that the log needs of a store of keys, so that a test can give it a bad one.

use std::collections::HashMap;

use cairn_tikv::{Inserted, Pair, Space, Trouble, Write};

/// Keys and values, of the log alone. Promises as those of [`cairn_tikv::Client`].
#[async_trait::async_trait]
pub(super) trait Keys: Send + Sync + 'static {
    /// The values of some keys, as of one moment.
    async fn get(&self, keys: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Vec<u8>>, Trouble>;

    /// The first pairs from one key up to another.
    async fn scan(&self, from: Vec<u8>, to: Vec<u8>, most: u32) -> Result<Vec<Pair>, Trouble>;

    /// The last pair from one key up to another.
    async fn last(&self, from: Vec<u8>, to: Vec<u8>) -> Result<Option<Pair>, Trouble>;

    /// The first keys from one up to another, without what they hold.
    async fn names(&self, from: Vec<u8>, to: Vec<u8>, most: u32) -> Result<Vec<Vec<u8>>, Trouble>;

    /// Writes a key that has no value; says what it holds afterwards.
    async fn insert(&self, key: Vec<u8>, value: Vec<u8>) -> Result<Inserted, Trouble>;

    /// Gives a key another value if it holds what is expected; otherwise says what it holds.
    async fn replace(
        &self,
        key: Vec<u8>,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<Result<(), Option<Vec<u8>>>, Trouble>;

    /// Writes some keys, all or none.
    async fn write(&self, writes: Vec<Write>) -> Result<(), Trouble>;
}

#[async_trait::async_trait]
impl Keys for Space {
    async fn get(&self, keys: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Vec<u8>>, Trouble> {
        let keys = keys.iter().map(|key| self.key(key)).collect();
        let found = self.client().get_many(keys).await?;
        Ok(found.into_iter().filter_map(|pair| below(self, pair)).collect())
    }

    async fn scan(&self, from: Vec<u8>, to: Vec<u8>, most: u32) -> Result<Vec<Pair>, Trouble> {
        let pairs = self.client().scan(self.key(&from)..self.key(&to), most, false).await?;
        Ok(pairs.into_iter().filter_map(|pair| below(self, pair)).collect())
    }

    async fn last(&self, from: Vec<u8>, to: Vec<u8>) -> Result<Option<Pair>, Trouble> {
        let pairs = self.client().scan(self.key(&from)..self.key(&to), 1, true).await?;
        Ok(pairs.into_iter().find_map(|pair| below(self, pair)))
    }

    async fn names(&self, from: Vec<u8>, to: Vec<u8>, most: u32) -> Result<Vec<Vec<u8>>, Trouble> {
        let keys = self.client().scan_keys(self.key(&from)..self.key(&to), most).await?;
        Ok(keys.iter().filter_map(|key| self.rest(key).map(<[u8]>::to_vec)).collect())
    }

    async fn insert(&self, key: Vec<u8>, value: Vec<u8>) -> Result<Inserted, Trouble> {
        self.client().insert(self.key(&key), value).await
    }

    async fn replace(
        &self,
        key: Vec<u8>,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<Result<(), Option<Vec<u8>>>, Trouble> {
        let key = self.key(&key);
        self.client()
            .update(vec![key.clone()], move |found| {
                let found = found.first().cloned().flatten();
                // An earlier attempt of this very call may have written it.
                if found.as_ref() == Some(&value) {
                    Ok((Vec::new(), ()))
                } else if found == expected {
                    Ok((vec![Write::Put(key.clone(), value.clone())], ()))
                } else {
                    Err(found)
                }
            })
            .await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), Trouble> {
        let ours = writes.into_iter().map(|write| match write {
            Write::Put(key, value) => Write::Put(self.key(&key), value),
            Write::Delete(key) => Write::Delete(self.key(&key)),
        });
        self.client().write(ours.collect()).await
    }
}

fn below(space: &Space, (key, value): Pair) -> Option<Pair> {
    space.rest(&key).map(|rest| (rest.to_vec(), value))
}
