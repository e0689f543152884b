"""Independent implementations of losses and networks in NumPy and SciPy, in float64, from the published formulas."""

import numpy as np
import scipy.interpolate
import scipy.linalg
import scipy.ndimage


def vgg(image, weights, pooling='avg', padding='constant'):
    """Return the features of a centered image [H, W, 3]: name -> [H, W, N] after its ReLU, name_pre -> before it."""
    features, x = {}, np.float64(image)
    block = '1'
    for name, (W, b) in weights.convolutions.items():
        if name[4] != block:
            x, block = pool(x, {'avg': np.mean, 'max': np.max}[pooling]), name[4]
        features[f'{name}_pre'] = convolve(x, np.float64(W), padding) + b
        features[name] = x = np.maximum(features[f'{name}_pre'], 0)
    return features


def convolve(x, W, padding='constant'):
    """Return the cross-correlation of [H, W, in], padded by a mode of `np.pad`, with filters [3, 3, in, out]."""
    return cross_correlate(np.pad(x, ((1, 1), (1, 1), (0, 0)), mode=padding), W)


def cross_correlate(x, W):
    """Return the cross-correlation of [H, W, in], without padding, with filters [k, k, in, out]."""
    height, width = (length - len(W) + 1 for length in x.shape[:2])
    return sum(x[i:i + height, j:j + width] @ W[i, j] for i in range(len(W)) for j in range(len(W)))


def pool(x, kind):
    """Pool 2×2 blocks of [H, W, C] by `kind` (np.mean or np.max), stride 2; blocks at an odd edge are smaller."""
    H, W, _ = x.shape
    return np.array([[kind(x[i:i + 2, j:j + 2], axis=(0, 1)) for j in range(0, W, 2)] for i in range(0, H, 2)])


def gram(F):
    """Return the Gram matrix G_ij = Σ_k F_ki F_kj of features [H, W, N], summed over the positions k."""
    return np.einsum('hwi,hwj->ij', np.float64(F), np.float64(F))


def cs20_content_loss(F, P):
    """Return Σ (F − P)² / (4s), where s is the number of elements of P (CS20 handout, step 2)."""
    return ((np.float64(F) - P) ** 2).sum() / (4 * P.size)


def cs20_style_loss(g, a):
    """Return E = Σ (G − A)² / (4 N² M²) for the features [H, W, N] of a layer, M = HW (CS20 handout, step 2)."""
    H, W, N = a.shape
    return ((gram(g) - gram(a)) ** 2).sum() / (4 * N ** 2 * (H * W) ** 2)


def cs20(image, content, style, weights):
    """Return the content, style and total loss of the CS20 handout.

    The content layer is conv4_2; the style layers conv1_1 … conv5_1 have the weights 0.5, 1, 1.5, 3 and 4; α/β = 1/20.
    """
    F, P, A = (vgg(x, weights) for x in (image, content, style))
    content_loss = cs20_content_loss(F['conv4_2'], P['conv4_2'])
    style_loss = sum(w * cs20_style_loss(F[layer], A[layer]) for w, layer in
                     [(0.5, 'conv1_1'), (1, 'conv2_1'), (1.5, 'conv3_1'), (3, 'conv4_1'), (4, 'conv5_1')])
    return content_loss, style_loss, content_loss / 20 + style_loss


def stylenet(image, content, style, weights):
    """Return the content, style, total variation and total loss of StyleNet, where 2 · l2_loss(x) is Σ x²."""
    F, P, A = (vgg(x, weights, 'max') for x in (image, content, style))
    content_loss = sum(0.5 * ((F[layer] - P[layer]) ** 2).sum() / P[layer].size for layer in ('conv4_2', 'conv5_2'))
    style_loss = 0
    for layer in ('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1'):
        G, expected = (gram(x[layer]) / x[layer].size for x in (F, A))
        style_loss += ((G - expected) ** 2).sum() / expected.size / 5
    tv_loss = total_variation(image)
    return content_loss, style_loss, tv_loss, 5 * content_loss + 500 * style_loss + 100 * tv_loss


def total_variation(image):
    """Return the mean squared difference of vertical neighbors of [H, W, 3] plus that of horizontal neighbors."""
    x = np.float64(image)
    vertical, horizontal = x[1:] - x[:-1], x[:, 1:] - x[:, :-1]
    return (vertical ** 2).sum() / vertical.size + (horizontal ** 2).sum() / horizontal.size


def lbfgs_tutorial(image, content, style, weights):
    """Return the content, style and total loss of PyTorch's tutorial.

    They are mean squares over the first five convolutions, before their ReLU.
    """
    F, P, A = (vgg(x, weights, 'max') for x in (image, content, style))
    content_loss = ((F['conv2_2_pre'] - P['conv2_2_pre']) ** 2).mean()
    style_loss = sum(((gram(F[layer]) / F[layer].size - gram(A[layer]) / A[layer].size) ** 2).mean()
                     for layer in ('conv1_1_pre', 'conv1_2_pre', 'conv2_1_pre', 'conv2_2_pre', 'conv3_1_pre'))
    return content_loss, style_loss, content_loss + 3000 * style_loss


def gatys(image, content, style, weights):
    """Return the content, style and total loss of Gatys et al.

    The content loss is ½ Σ (F − P)² at conv4_2; the style loss is the mean of E over five layers; β/α is the recipe's.
    """
    F, P, A = (vgg(x, weights) for x in (image, content, style))
    content_loss = ((F['conv4_2'] - P['conv4_2']) ** 2).sum() / 2
    style_loss = sum(cs20_style_loss(F[layer], A[layer]) / 5
                     for layer in ('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1'))
    return content_loss, style_loss, content_loss + 1e4 * style_loss


def modern(image, content, style, weights):
    """Return the content, style, total variation and total loss of our own recipe, `modern`.

    Content and style losses are relative to the squares of their targets, and convolutions pad by reflection. The style
    [H', W', 3] may have another shape than the image.
    """
    F, P, A = (vgg(x, weights, padding='symmetric') for x in (image, content, style))
    content_loss = ((F['conv3_1'] - P['conv3_1']) ** 2).sum() / (P['conv3_1'] ** 2).sum()
    style_loss = sum(covariance_distance(F[layer], A[layer])
                     for layer in ('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1'))
    tv_loss = total_variation(image)
    return content_loss, style_loss, tv_loss, content_loss + style_loss / 2 + 3e-4 * tv_loss


def covariance_distance(g, a):
    """Return the distance of mean and covariance of features g from those of a, both [H, W, N], relative to a's."""
    (m, C), (m_s, C_s) = ((x.mean(axis=0), np.cov(x, rowvar=False, bias=True)) for x in (
        np.float64(x).reshape(-1, x.shape[-1]) for x in (g, a)))
    return ((C - C_s) ** 2).sum() / (C_s ** 2).sum() + ((m - m_s) ** 2).sum() / (m_s ** 2).sum()


def wasserstein_distance(g, a):
    """Return the relative squared 2-Wasserstein distance of features g and a, both [H, W, N], by SciPy's `sqrtm`."""
    (m, C), (m_s, C_s) = ((x.mean(axis=0), np.cov(x, rowvar=False, bias=True)) for x in (
        np.float64(x).reshape(-1, x.shape[-1]) for x in (g, a)))
    root = scipy.linalg.sqrtm(C_s).real
    cross = scipy.linalg.sqrtm(root @ C @ root).real
    return (((m - m_s) ** 2).sum() + np.trace(C + C_s - 2 * cross)) / ((m_s ** 2).sum() + np.trace(C_s))


def gram_share_distance(g, a):
    """Return Σ (G − A)² / Σ A² for the Gram matrices per position of features g and a, both [H, W, N]."""
    G, A = (gram(x) / x[..., 0].size for x in (g, a))
    return ((G - A) ** 2).sum() / (A ** 2).sum()


STYLE_DISTANCES = {'gram_share': gram_share_distance, 'covariance': covariance_distance,
                   'wasserstein': wasserstein_distance}


def reflect_pad(x, side):
    """Pad [H, W, C] by reflection, with `side` pixels at each edge."""
    return np.pad(x, ((side, side), (side, side), (0, 0)), mode='reflect')


def upsample_linear(x, factor=2):
    """Enlarge [H, W, C] by linear interpolation; NaN beyond the centers of the outermost pixels."""
    for axis in (0, 1):
        length = x.shape[axis]
        points = (np.arange(factor * length) + 0.5) / factor - 0.5
        x = scipy.interpolate.interp1d(np.arange(length), x, axis=axis, bounds_error=False, fill_value=np.nan)(points)
    return x


def upsample_conv(x, W, notch=False):
    """Upsample [H, W, in] by 2 and correlate it with W, after a notch filter if `notch` is set."""
    side = W.shape[0] // 2
    x = reflect_pad(x, 3)
    if notch:
        taps = np.float64([-1, 4, 10, 4, -1]) / 16
        x = scipy.ndimage.correlate(x, np.outer(taps, taps)[..., None])
    x = upsample_linear(x)
    return cross_correlate(x[6 - side:len(x) - 6 + side, 6 - side:x.shape[1] - 6 + side], W)


def instance_norm(x, gamma, beta):
    """Normalize [H, W, C] per channel over its positions; then scale by gamma and shift by beta."""
    return (x - x.mean(axis=(0, 1))) / np.sqrt(x.var(axis=(0, 1)) + 1e-3) * gamma + beta


def transform_net(photo, parameters, style_weights):
    """Return the picture [H, W, 3] that the multi-style network makes of a photo [H, W, 3], 0 to 255.

    H and W are multiples of 4. Blurring, striding and upsampling are separate steps here; the network has filters that
    combine them.
    """
    def filters(name):
        return np.float64(parameters[f'{name}/weights'])

    def plain_conv(x, W):
        return cross_correlate(reflect_pad(x, W.shape[0] // 2), W)

    def downsample_conv(x, W):
        binomial = np.outer([1, 2, 1], [1, 2, 1]) / 16
        blurred = scipy.ndimage.correlate(reflect_pad(x, W.shape[0] // 2 + 1), binomial[..., None])[1:-1, 1:-1]
        return cross_correlate(blurred, W)[::2, ::2]

    def layer(x, name, convolution=plain_conv):
        gamma, beta = (style_weights @ np.float64(parameters[f'{name}/{kind}']) for kind in ('gamma', 'beta'))
        return instance_norm(convolution(x, filters(name)), gamma, beta)

    def relu(x):
        return np.maximum(x, 0)

    x = relu(layer(np.float64(photo) / 127.5 - 1, 'conv1', downsample_conv))
    x = relu(layer(x, 'conv2', downsample_conv))
    for i in range(1, 6):
        x = x + layer(relu(layer(x, f'residual{i}_1')), f'residual{i}_2')
    x = relu(layer(x, 'conv3', upsample_conv))
    return 127.5 + 150 * np.tanh(upsample_conv(x, filters('conv4'), notch=True) + parameters['conv4/bias'])


def arbitrary_encode(photo, parameters):
    """Return the maps of the arbitrary style transfer network's encoder for a photo [H, W, 3], 0 to 255.

    H and W are multiples of 8. The maps are the high-pass band (details), the low-pass band (colors), conv2_1, conv3_1
    and conv4_1.
    """
    x = np.float64(photo) / 127.5 - 1
    colors = pool(pool(x, np.mean), np.mean)
    maps = {'colors': colors, 'details': x - upsample_low_pass(colors)}
    for name in (f'conv{suffix}' for suffix in ('1_1', '1_2', '2_1', '2_2', '3_1', '3_2', '3_3', '3_4', '4_1')):
        if name in ('conv2_1', 'conv3_1', 'conv4_1'):
            x = pool(x, np.mean)
        x = maps[name] = np.maximum(convolve(x, np.float64(parameters[f'{name}/weights']), 'reflect')
                                    + parameters[f'{name}/biases'], 0)
    return [maps[name] for name in ('details', 'colors', 'conv2_1', 'conv3_1', 'conv4_1')]


def upsample_low_pass(colors):
    """Upsample the low-pass band by 4, linearly; pixels beyond the outermost centers repeat the edge."""
    return upsample_linear(np.pad(colors, ((1, 1), (1, 1), (0, 0)), mode='edge'), 4)[4:-4, 4:-4]


def arbitrary_decode(details, colors, conv2_1, conv3_1, conv4_1, description, parameters):
    """Return the picture [H, W, 3] that the decoder makes of the encoder's maps and a style embedding [D]."""
    code = ((description - np.float64(parameters['code/mean'])) @ parameters['code/components']).clip(-3, 3)
    conditions = np.append(code, 1)

    def layer(x, name, convolution=lambda x, W: convolve(x, W, 'reflect')):
        gamma, beta = (conditions @ np.float64(parameters[f'{name}/{kind}']) for kind in ('gamma', 'beta'))
        return instance_norm(convolution(x, np.float64(parameters[f'{name}/weights'])), gamma, beta)

    def relu(x):
        return np.maximum(x, 0)

    def blocks(x, name):
        i = 1
        while f'{name}_{i}_1/weights' in parameters:
            x = x + layer(relu(layer(x, f'{name}_{i}_1')), f'{name}_{i}_2')
            i += 1
        return x

    x = relu(layer(conv4_1, 'decoder4'))
    x = relu(layer(blocks(x, 'residual4'), 'up3', upsample_conv))
    x = relu(layer(np.concatenate([x, conv3_1, colors], axis=2), 'decoder3'))
    x = relu(layer(blocks(x, 'residual3'), 'up2', upsample_conv))
    x = relu(layer(np.concatenate([x, conv2_1], axis=2), 'decoder2'))
    x = blocks(x, 'residual2')
    fine = relu(layer(x, 'decoder1', lambda x, W: upsample_conv(x, W, notch=True)))
    x = upsample_conv(x, np.float64(parameters['decoder0/weights']), notch=True) + parameters['decoder0/bias']
    share = conditions @ np.float64(parameters['decoder0/share'])
    x = x + upsample_low_pass(colors) + share * details
    fine = relu(layer(np.concatenate([fine, x], axis=2), 'fine'))
    decoded = 127.5 + 150 * np.tanh(x + convolve(fine, np.float64(parameters['finest/weights']), 'reflect'))
    return 0.85 * decoded + 0.15 * (127.5 + 127.5 * (details + upsample_low_pass(colors)))
